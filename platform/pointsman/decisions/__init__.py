"""Decisions as they are recorded: one transaction a batch."""
