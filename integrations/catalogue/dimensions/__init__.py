"""SAM's dimension language: questions about files, as text and as a tree (grammar: SAM, as MetaCat reads it too)."""

from __future__ import annotations

from integrations.catalogue.dimensions.parsing import parse
from integrations.catalogue.dimensions.tree import (
    And,
    Available,
    Combined,
    Constraint,
    Defined,
    DimensionError,
    Node,
    Not,
    Or,
    Range,
    Related,
    Selected,
    Value,
)
from integrations.catalogue.dimensions.writing import names, value, write

__all__ = [
    "And", "Available", "Combined", "Constraint", "Defined", "DimensionError", "Node", "Not", "Or", "Range", "Related",
    "Selected", "Value", "names", "parse", "value", "write",
]  # fmt: skip
