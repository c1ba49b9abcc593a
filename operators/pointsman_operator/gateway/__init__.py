"""The development gateway of a cluster that has no Gateway controller: HAProxy, and a process that tells it of the cluster."""
