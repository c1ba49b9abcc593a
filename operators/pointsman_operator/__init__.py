"""The Kubernetes operator: observes the cluster and carries out the plans of `pointsman`. Nothing is written here yet."""
