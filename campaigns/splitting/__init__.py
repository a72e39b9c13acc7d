"""Cutting datasets into batches (T4). Pure."""

from campaigns.splitting.base import Split, parse

__all__ = ["Split", "parse"]
