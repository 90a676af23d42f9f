"""Targets: how a run reaches what it invokes. One module a kind."""
