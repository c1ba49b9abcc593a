"""Model references to pinned files: a registry is asked once, what it answers is kept by digest."""
