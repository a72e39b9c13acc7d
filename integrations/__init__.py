"""The outside: batch systems, catalogues, launchers."""
