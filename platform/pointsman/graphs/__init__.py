"""Decision graphs: what an event means, what is concluded from it. Nothing here does I/O but through model ports."""
