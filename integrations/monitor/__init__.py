"""Monitors: what tells of jobs in a batch system's stead, faster or for many systems at once."""
