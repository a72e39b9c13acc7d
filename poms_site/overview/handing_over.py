"""Bytes that somebody has brought: handed over as a file, never shown as a page of ours."""

from __future__ import annotations

from django.http import HttpResponse


def as_file(name: str, content: bytes) -> HttpResponse:
    """Return what a browser saves under this name; whatever is in it runs nowhere."""
    answer = HttpResponse(content, content_type="application/octet-stream")
    quoted = name.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "_")
    answer["Content-Disposition"] = f'attachment; filename="{quoted}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return answer
