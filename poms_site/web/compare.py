"""A job beside another: what is different, and their logs aligned."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from core.errors import NotVisible, Problem, Refused
from poms_site.overview.job_compare import BESIDE, compare, nearest_good
from poms_site.web import live
from poms_site.web.logs import STREAMS
from poms_site.web.page import Page
from poms_site.web.things import find, key_path
from submissions.models import EveryJob


class JobComparePage(Page):
    """A job beside the one that is named, or beside the nearest good one of its stage."""

    rules = {"get": "view"}
    place = "jobs"
    help = "/docs/guide/pages/#two-jobs"
    api = "jobs-compare"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show them."""
        row = self._job(key)
        wanted = request.GET.get("with", "").strip()
        stream = request.GET.get("stream", "out")
        if stream not in dict(STREAMS):
            raise Refused("The logs cannot be read.", [Problem("stream", f"unknown: {stream[:40]}", "out or err")])
        other = self._job(_key(wanted)) if wanted else nearest_good(row)
        return self.show(
            "web/job_compare.html",
            {"row": row, "wanted": wanted, "stream": stream, "streams": STREAMS,
             "compared": compare(row, other, stream) if other else None},
        )  # fmt: skip

    def api_address(self, **kwargs: Any) -> str:
        """Return where the API compares the same jobs."""
        asked = [(name, text) for name, text in live.asked(self.request) if name in ("with", "stream") and text]
        return f"{super().api_address(**kwargs)}?{urlencode(asked)}".removesuffix("?")

    def _job(self, key: str) -> EveryJob:
        find(self.request.user, self.here, key)
        return EveryJob.objects.visible_to(self.request.user).select_related(*BESIDE).get(pk=int(key[1:]))


def _key(wanted: str) -> str:
    found = re.fullmatch(r"(?:[a-z][a-z0-9_-]*/)?(j[1-9][0-9]{0,17})", wanted)
    if not found:
        raise NotVisible(f"There is no job {wanted[:60]}, or you may not see it.")
    return found[1]


urlpatterns = [key_path("compare/", JobComparePage.as_view(), "job-compare", "j")]
