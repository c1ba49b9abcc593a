"""The kinds of `pointsman.dev/v1alpha1`, their conditions, and how documents become objects."""
