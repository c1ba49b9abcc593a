"""BentoML as a model runtime: its environment, the service, and a starter."""
