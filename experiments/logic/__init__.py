"""Verbs on experiments and people."""
