"""Lists as files for one's own tools: the rows that the page shows, all pages of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from poms_site.overview.exporting import TYPES, exported
from poms_site.web.listing import Filter, narrowed


def as_file(request: HttpRequest, noun: str, rows: Any, filters: Sequence[Filter], form: str) -> StreamingHttpResponse:
    """Return the rows that fit the filters of the address as a file; `rows` are those that the person may see."""
    pieces = exported(noun, narrowed(request, rows, filters), form, request.GET.get("after", ""))
    return streamed(noun, form, pieces)


def streamed(noun: str, form: str, pieces: Any) -> StreamingHttpResponse:
    """Return pieces as a download."""
    headers = {"Content-Disposition": f'attachment; filename="{noun}s.{form}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(pieces, content_type=TYPES[form], headers=headers)
