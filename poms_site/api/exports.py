"""Lists of the API as files, CSV or Parquet: for one's own tools, under the same filters and rights."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from rest_framework.request import Request

from poms_site.overview.exporting import TYPES, exported
from submissions.api import BatchView, JobView, SubmissionView


class _Exported:
    """What the three have in common; the rows are those of the list."""

    rules = {"export": "view"}
    noun = ""

    def export(self, request: Request) -> StreamingHttpResponse:
        """Return the list as a file; `to` is csv or parquet, `after` the row behind which it begins."""
        view: Any = self
        form = request.query_params.get("to", "csv")
        rows = view.narrowed(view.rows().select_related(None).prefetch_related(None), ("to", "after"))
        pieces = exported(self.noun, rows, form, request.query_params.get("after", ""))
        headers = {"Content-Disposition": f'attachment; filename="{self.noun}s.{form}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(pieces, content_type=TYPES[form], headers=headers)


class JobExport(_Exported, JobView):
    """Jobs as a file."""

    noun = "job"


class BatchExport(_Exported, BatchView):
    """Batches as a file."""

    noun = "batch"


class SubmissionExport(_Exported, SubmissionView):
    """Submissions as a file."""

    noun = "submission"


def _route(noun: str, view: Any) -> Any:
    return path(f"{noun}/export/", view.as_view({"get": "export"}), name=f"{noun}-export")


urlpatterns = [
    _route("jobs", JobExport),
    _route("batches", BatchExport),
    _route("submissions", SubmissionExport),
]
