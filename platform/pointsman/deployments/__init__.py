"""ModelDeployments: what is observed of one, and what is to be done about it. Pure."""
