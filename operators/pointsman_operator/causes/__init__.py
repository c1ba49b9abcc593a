"""Why a revision of a model does not serve, in words, from what the cluster shows of it. Pure."""
