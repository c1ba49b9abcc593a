"""The operator's side of DecisionGraph, EventStream, FeatureView and ActionTarget: a namespace is reconciled as one."""
