"""The commands of a launch on a page: what would run, where, with which environment; nothing is launched (J2)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from campaigns import queries
from campaigns.models import Stage
from core.errors import Conflict, NotVisible
from poms_site.web.page import Page
from poms_site.web.things import address, find, key_path
from submissions.logic import showing


class CommandsPage(Page):
    """The commands of one thing."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#the-commands-of-a-launch"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show them."""
        row = find(request.user, self.here, key)
        return self._page(row, {"shown": self._of(row)})

    def _of(self, row: Any) -> showing.Commands:
        raise NotImplementedError

    def _page(self, row: Any, context: dict[str, Any]) -> HttpResponse:
        return self.show("web/launch_commands.html", {"row": row, "back": address(row.ref), **context})


class BatchCommandsPage(CommandsPage):
    """What a batch would run next."""

    def _of(self, row: Any) -> showing.Commands:
        return showing.of_batch(row)


class SubmissionCommandsPage(CommandsPage):
    """What a submission runs, or ran."""

    def _of(self, row: Any) -> showing.Commands:
        return showing.of_submission(row)


class CampaignCommandsPage(CommandsPage):
    """What the next launch of a stage would run: of the one that is asked for, or of the first."""

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show them, with the other stages to choose from."""
        row = find(request.user, self.here, key)
        names = [version.stage.name for version in queries.graph_of(row)[0]]
        if not names:
            raise Conflict(f"{row.ref} has no stage yet; there is nothing to launch.")
        chosen = request.GET.get("stage") or names[0]
        stage = Stage.objects.filter(campaign=row, name=chosen).select_related("campaign__experiment").first()
        if stage is None:
            raise NotVisible(f"{row.ref} has no stage {chosen[:60]}.")
        return self._page(row, {"shown": showing.of_stage(stage), "stages": names, "chosen": chosen})


urlpatterns = [
    key_path("commands/", BatchCommandsPage.as_view(), "batch-commands", "b"),
    key_path("commands/", SubmissionCommandsPage.as_view(), "submission-commands", "s"),
    key_path("commands/", CampaignCommandsPage.as_view(), "campaign-commands", "c"),
]
