"""The decision store: PostgreSQL, one dialect everywhere."""
