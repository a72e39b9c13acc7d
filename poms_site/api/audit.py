"""The API's view of the ledger as a whole: its seals recomputed, and what does not hold named row by row."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core import audit
from core.errors import NotAllowed, Problem, Refused
from core.models import Seal
from experiments.queries import OVERSEERS, oversees
from experiments.rules import SIGNED_IN
from experiments.viewsets import ScopedViewSet, whole

A_PIECE, MOST = 5, 50  # seals in one answer


class AuditView(ScopedViewSet):
    """The ledger's seals, a piece at a time."""

    model = Seal
    rules = {"verify": SIGNED_IN}

    def verify(self, request: Request) -> Response:
        """Recompute some seals; `after` is the transaction up to which it was done before, as the last answer says."""
        if not oversees(request.user):
            roles = " or ".join(OVERSEERS)
            raise NotAllowed(f"The ledger is of all experiments: to verify it needs the role {roles}.")
        query = request.query_params
        if unknown := sorted(set(query) - {"after", "seals", "format"}):
            raise Refused("The ledger was not verified.", [Problem(name, "unknown") for name in unknown])
        after = whole("after", query.get("after", "0"), "take it from the last answer")
        seals = whole("seals", query.get("seals", str(A_PIECE)), f"1 to {MOST}")
        return Response(audit.verify(after, seals=max(1, min(seals, MOST))).document())


urlpatterns = [path("audit/verify/", AuditView.as_view({"get": "verify"}), name="audit-verify")]
