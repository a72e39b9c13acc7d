"""Verbs on batches, submissions and jobs; the loops."""
