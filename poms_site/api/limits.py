"""How much one caller may ask of the API within a minute, and launch: counted for the person, not for the token.

Reports of jobs are never refused by it: they carry a token of their own submission, and come when jobs end.
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from experiments.logic import pacing
from experiments.rules import OWN_TOKEN, rule_of
from poms_site.addresses import client_address


class EachCaller(BaseThrottle):
    """Counts a call before it is done, as a launch or as any other; raises TooMany where there were too many."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count it: one statement for each call."""
        action = getattr(view, "action", None) or str(request.method).lower()
        if rule_of(view, action) == OWN_TOKEN:
            return True
        user: Any = request.user
        if not user.is_authenticated:
            pacing.call_of_nobody(client_address(request._request))
        elif action in getattr(view, "launches", ()) and request.query_params.get("plan", "0") in ("", "0"):
            pacing.launch(user)
        else:
            pacing.call(user)
        return True
