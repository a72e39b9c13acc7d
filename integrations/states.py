"""States of services (P1). Pure."""

from __future__ import annotations

from core.states import table

# The ledger calls the accounts of services "service" already, so these have a word of their own.
SERVICE = table(
    "outside_service",
    "unknown",
    ("unknown degraded down", "up", "find_up"),
    ("unknown up", "degraded", "find_degraded"),
    ("unknown up degraded", "down", "find_down"),
    ("up degraded down", "unknown", "lose_sight"),
)
