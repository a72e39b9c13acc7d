"""Cutting datasets into slices, one batch each (T4). Pure."""

from campaigns.splitting.cutting import Cut, Slice, cut, datasets, values
from campaigns.splitting.kinds import KINDS, Input, Kind, Split, parse
from campaigns.splitting.telling import preview

__all__ = ["KINDS", "Cut", "Input", "Kind", "Slice", "Split", "cut", "datasets", "parse", "preview", "values"]
