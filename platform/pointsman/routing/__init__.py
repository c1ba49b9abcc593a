"""Which requests a gateway leads where, and HAProxy's configuration for it: the local runtime's gateway and a cluster's."""
