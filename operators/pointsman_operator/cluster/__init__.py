"""The API server, as the operator uses it: requests, watches, and what is remembered of them. All of its I/O with Kubernetes."""
