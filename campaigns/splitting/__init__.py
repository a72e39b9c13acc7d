"""Cutting datasets into batches (T4). Pure."""

from campaigns.splitting.base import LATER, Split, parse

__all__ = ["LATER", "Split", "parse"]
