"""Kubernetes for tests, without containers from anywhere: every part built from source and kept in a cache.

`simulated.simulated` starts a real control plane whose nodes and pods are played; `real.real_node` one with a real
node in namespaces of its own. Both give a `cluster.Cluster`, and leave nothing behind however they end.
"""
