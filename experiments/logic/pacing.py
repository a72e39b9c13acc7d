"""How much one person or service account may ask and launch within a minute, whichever way they come.

Each is called by whoever takes a request, before anything is done and outside of transactions. Loops never call them.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from core import rates


def call(user: Any) -> None:
    """Count a call of the API; raises TooMany."""
    rates.demand(f"api:user:{user.pk}", settings.API_PER_MINUTE, "You have called the API")


def launch(user: Any) -> None:
    """Count an act that makes something run, by page, API or command; raises TooMany."""
    rates.demand(f"launch:user:{user.pk}", settings.LAUNCHES_PER_MINUTE, "You have launched")


def call_of_nobody(address: str) -> None:
    """Count a call of somebody who is not signed in; raises TooMany."""
    rates.demand(f"api:from:{address}", settings.API_PER_MINUTE, "Your address has called the API")


def bad_token(address: str) -> None:
    """Count a token that nobody has; raises TooMany."""
    rates.demand(f"token:from:{address}", settings.BAD_TOKENS_PER_MINUTE, "Your address has sent unknown tokens")
