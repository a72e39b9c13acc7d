"""Whether, and in which order: requests, checks, decisions."""
