"""Catalogues, one module each."""
