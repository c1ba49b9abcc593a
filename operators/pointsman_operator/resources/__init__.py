"""The objects that a ModelDeployment becomes, each from a pure function: the same input gives the same document."""
