"""Features: one definition of a view, computed incrementally for live decisions and as of a moment for training."""
