"""Batch systems, one module each."""
