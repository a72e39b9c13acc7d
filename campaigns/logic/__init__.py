"""Verbs on campaigns."""
