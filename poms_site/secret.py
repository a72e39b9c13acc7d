"""A signing key for an installation that was given none: made once, kept beside its data."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def laptop_secret(state: Path) -> str:
    """Return the key in `<state>/secret`, making it (0600) if it is not there."""
    path = state / "secret"
    if not path.exists():
        state.mkdir(parents=True, exist_ok=True)
        fresh = state / f".secret-{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # fails if another process was first: then its key is the one
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


def made_up(state: Path) -> str | None:
    """Return the key that was made for an installation that was given none, or None if there was no need."""
    path = state / "secret"
    return path.read_text() if path.exists() else None
