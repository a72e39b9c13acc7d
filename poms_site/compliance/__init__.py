"""What an auditor asks of a running installation, told by itself (CP1)."""
