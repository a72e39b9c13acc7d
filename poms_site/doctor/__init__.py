"""What is well with a running installation, what is wrong with it, and what to do about it."""
