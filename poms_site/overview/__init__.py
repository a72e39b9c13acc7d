"""What needs all floors: reports and the like."""
