"""KServe's own Python server as a model runtime: its environment, the server, and a starter."""
