"""The decision API beside the graphs' own ingress: decisions, reviews, dead letters, lists, keys, health and metrics."""
