"""The two hosts of a decision graph, Ray Serve and embedded, and the ingress that they share."""
