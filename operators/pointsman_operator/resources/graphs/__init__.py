"""The objects that DecisionGraphs and their namespace become, each from a pure function: the same input gives the same document."""
