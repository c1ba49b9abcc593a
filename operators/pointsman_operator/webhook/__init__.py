"""The validating webhook: what it answers, the certificates that it shows, and how both are served and renewed."""
