"""Band certificates: what a band promises, measured on labelled decisions, signed, and live or not."""
