"""Labels: what became known of decided events, by whom, and with which probability; certificates are made of them."""
