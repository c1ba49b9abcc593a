"""The review queue: what people decide, who holds what, and what their verdicts do."""
