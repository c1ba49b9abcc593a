"""What runs in serving pods and in local model processes."""
