"""Brings a model from where it is addressed, outside the registry: by KServe's own clients, or from a volume beside us."""
