"""The API's view of recoveries: what one would do to a batch, a stage or a campaign, and having exactly that done."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.models import Campaign, Stage
from core.errors import NotVisible
from experiments.viewsets import ReasonInput, ScopedViewSet, ref_path
from poms_site.overview import recovery
from submissions.logic import proposing
from submissions.models import Batch


class RecoverInput(ReasonInput):
    """The body that applies a plan."""

    kind = serializers.CharField(required=False, allow_blank=True, default="", max_length=40)
    plan = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)


class RecoveryView(ScopedViewSet):
    """The recovery of something that has batches."""

    launches = frozenset({"do_recover"})
    rules = {"plan": "view", "do_recover": "operate"}

    def plan(self, request: Request, **where: str) -> Response:
        """Say what would be run again now and what that costs, by the list or by one `kind`; nothing is written."""
        asked = proposing.ask(self._thing(**where), request.query_params.get("kind", ""))
        return Response(recovery.document(asked, proposing.plan(asked)))

    def do_recover(self, request: Request, **where: str) -> Response:
        """Have a plan done, exactly as it was read: named by its hash, it is refused if things are different now."""
        thing, wanted = self._thing(**where), self.body(RecoverInput)
        proposing.demand_reason(wanted["reason"])
        asked = proposing.ask(thing, wanted["kind"], freeze=True)  # outside comes before the transaction

        def act() -> tuple[int, Any]:
            made = proposing.apply(asked, said=wanted["plan"], actor=self.actor, reason=wanted["reason"])
            launched = [
                {"batch": one.batch.ref, "submission": one.ref, "inputs": one.units.count()} for one in made.submissions
            ]
            taken = [{"stage": one.news.version.stage.ref, "told": one.summary} for one in made.gains]
            return 200, {"ref": thing.ref, "launched": launched, "taken": taken}

        return self.once(act)

    def _thing(self, ref: str) -> Any:
        return self.find_permitted(ref)


class BatchRecoveryView(RecoveryView):
    """The recovery of one batch."""

    model = Batch
    letter = "b"


class CampaignRecoveryView(RecoveryView):
    """The recovery of all batches of a campaign."""

    model = Campaign
    letter = "c"


class StageRecoveryView(RecoveryView):
    """The recovery of all batches of a stage."""

    model = Stage
    letter = "c"

    def rows(self) -> Any:
        """Return stages with their campaign."""
        return self.get_queryset().select_related("campaign__experiment")

    def _thing(self, ref: str, stage: str = "") -> Any:
        experiment, _, key = ref.partition("/c")
        row = self.rows().filter(campaign__experiment__name=experiment, campaign_id=int(key), name=stage).first()
        if row is None:
            raise NotVisible(f"There is no {ref}/{stage}, or you may not see it.")
        self.permit(row.campaign.experiment)
        return row


def _routes(noun: str, view: type[RecoveryView], tail: str = "") -> list[Any]:
    reading = path(
        ref_path(noun, view.letter, f"{tail}recovery/"), view.as_view({"get": "plan"}), name=f"{noun}-recovery"
    )
    acting = path(
        ref_path(noun, view.letter, f"{tail}recover/"), view.as_view({"post": "do_recover"}), name=f"{noun}-recover"
    )
    return [reading, acting]


urlpatterns = [
    *_routes("batches", BatchRecoveryView),
    *_routes("campaigns", CampaignRecoveryView),
    *_routes("stages", StageRecoveryView, "<str:stage>/"),
]
