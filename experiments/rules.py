"""Every route declares who may use it; a route without a rule is refused, and a contract test finds it."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from experiments.roles import PERMISSIONS
from experiments.scoping import read_once

PUBLIC = "public"
SIGNED_IN = "signed_in"
OWN_TOKEN = "own_token"  # noqa: S105 - the name of a rule: the route checks a token of its own
RULES = (PUBLIC, SIGNED_IN, OWN_TOKEN, *PERMISSIONS)


class DeclaredRule(BasePermission):
    """Lets a request through to the view if the view declares a rule for its action.

    `rules` maps an action to PUBLIC, SIGNED_IN, or the permission that the view then requires on the
    experiment of the object at hand (ScopedViewSet.permit).
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Refuse what is undeclared; let nobody in who is not signed in unless the rule is PUBLIC.

        Raises MethodNotAllowed for a method that the route does not serve, so that this reads as no lack of rights.
        """
        known = getattr(view, "action_map", None)
        if known and str(request.method).lower() not in known and request.user and request.user.is_authenticated:
            raise MethodNotAllowed(str(request.method))
        if request.method in SAFE_METHODS and request.user and request.user.is_authenticated:
            read_once(request.user)
        rule = rule_of(view, getattr(view, "action", None) or str(request.method).lower())
        if rule is None:
            return False
        return rule in (PUBLIC, OWN_TOKEN) or bool(request.user and request.user.is_authenticated)


def rule_of(view: Any, action: str | None) -> str | None:
    """Return the rule that a view declares for an action, or None."""
    rule = getattr(view, "rules", {}).get(action)
    return rule if rule in RULES else None
