"""Sign-in with a password that is kept here: only where the installation says so, and never for a service account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend

from experiments.models import User


class PasswordBackend(ModelBackend):
    """Django's own, behind the setting; it grants no permission (guardian's tables are read directly)."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """Return the person whose password it is, where passwords sign in at all."""
        if not settings.LOCAL_PASSWORDS:
            return None
        return super().authenticate(request, username=username, password=password, **kwargs)

    def user_can_authenticate(self, user: Any) -> bool:
        """Tell whether a password may sign this account in: it is switched on, and a person's."""
        return bool(user.is_active) and getattr(user, "service", None) is None

    def get_user(self, user_id: int) -> Any:
        """Return the person of a session, while the account is switched on and passwords sign in."""
        if not settings.LOCAL_PASSWORDS:
            return None
        return User.objects.filter(pk=user_id, is_active=True, service=None).first()
