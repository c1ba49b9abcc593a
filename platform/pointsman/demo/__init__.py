"""Parts that the demonstration runs: nothing of them is on a production path."""
