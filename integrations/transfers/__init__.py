"""Services that take files to where they stay: what they say of those on their way."""
