"""Monitors: whether bands still keep their promise, as far as audited items tell."""
