"""The local runtime: the same kinds, reconciled into processes of this machine."""
