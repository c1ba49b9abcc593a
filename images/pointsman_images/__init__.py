"""Container images without a container engine: from locked wheels and Debian's packages to OCI archives."""
