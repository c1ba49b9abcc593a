"""Who may do what: API keys, roles, and the policy of every route."""
