"""The editor of a campaign's definition: text and graph side by side, both the same thing (T1, J7)."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path

from campaigns import queries
from campaigns.definition import Parsed
from campaigns.definition.operating import operate
from campaigns.definition.values import LOGIN_SETUP, STAGE
from campaigns.logic import drafting, editing
from campaigns.models import Campaign, Revision
from campaigns.splitting import KINDS
from core.errors import Conflict, NotAllowed, PomsError, Problem, Refused
from poms_site.overview import editor_graph
from poms_site.web import errors
from poms_site.web.page import Page
from poms_site.web.things import find, key_path

# What can be chosen for a key; what is not here is typed.
ALSO = {
    "keys": list(STAGE), "setup": LOGIN_SETUP, "choices": editor_graph.CHOICES,
    "splits": [
        {
            "name": "None" if name == "whole" else name, "says": kind.says, "suchAs": kind.such_as,
            "takes": bool(kind.takes),
        }
        for name, kind in KINDS.items()
    ],
    "recoveries": ["pending_files", "proj_status", "consumed_status", "delivered_not_consumed", "process_status"],
}  # fmt: skip

# Parts of the script, named in the page so that all are fetched at once.
PARTS = ("beside", "dom", "fields", "graph", "lists", "panel", "pointer", "server", "source")
MODULES = [f"poms/editor/{name}.js" for name in PARTS]


class EditorPage(Page):
    """Edit the definition of a campaign: who may not, reads it here."""

    rules = {"get": "view", "post": "file_request"}
    place = "campaigns"
    help = "/docs/guide/editor/"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the newest revision, or an older one to begin from."""
        row = find(request.user, self.here, key)
        last = queries.newest(row)
        wanted = request.GET.get("revision", "")
        shown = row.revisions.filter(number=int(wanted)).first() if wanted.isdecimal() and len(wanted) < 9 else last
        return self._page(row, shown.source if shown else "", last.number if last else 0)

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Save what was written; where somebody saved meanwhile, show both joined and ask."""
        row = find(request.user, self.here, key)
        text, note = request.POST.get("text", "").replace("\r\n", "\n"), request.POST.get("note", "")
        given = request.POST.get("base", "")
        base = int(given) if given.isdecimal() and len(given) < 9 else None
        try:
            saved = drafting.save(row, text, by=request.user, note=note, base=base)
        except Conflict as error:
            return self._joined(request, row, text, base or 0, error)
        except Refused as error:
            context = {"detail": errors.detail_of(error), "problems": error.problems, "note": note}
            return self._page(row, text, base or 0, status=422, **context)
        return self._kept(saved)

    def _joined(self, request: HttpRequest, row: Campaign, text: str, base: int, error: Conflict) -> HttpResponse:
        """Show both texts joined; where all is chosen, and nobody has saved since it was asked, keep it."""
        choices = {name[7:]: str(value) for name, value in request.POST.items() if name.startswith("choose ")}
        merged, last = drafting.join(row, text, base, choices)
        note, read = request.POST.get("note", ""), request.POST.get("read", "")
        context = {"detail": errors.detail_of(error), "conflicts": merged.conflicts, "theirs": last, "mine": text,
                   "mine_base": base, "note": note}  # fmt: skip
        if read == str(last.number) and not merged.conflicts:
            try:
                return self._kept(drafting.save(row, merged.text, by=request.user, note=note, base=last.number))
            except (Refused, Conflict) as again:
                context |= {"detail": errors.detail_of(again), "problems": again.problems}
        return self._page(row, merged.text, last.number, status=409, **context)

    def _kept(self, saved: Revision) -> HttpResponse:
        words = f"Saved as revision {saved.number}. It runs once a request for it is approved."
        messages.success(self.request, words)
        return HttpResponseRedirect(self.request.path, status=303)

    def _page(self, row: Campaign, text: str, base: int, *, status: int = 200, **more: Any) -> HttpResponse:
        try:
            drafting.refuse_unless_editor(row, self.request.user)
            may, why = True, ""
        except NotAllowed as error:
            may, why = False, error.detail
        first = looked(text, editing.read(text, self.here, self.request.user), self.here)
        context = {"row": row, "text": text, "base": base, "edits": may, "why_not": why, "first": first,
                   "also": ALSO, "modules": MODULES, **more}  # fmt: skip
        return self.show("web/editor.html", context, status=status)


class EditorLook(Page):
    """What the editor's script asks while one types: the text after a verb, its drawing, complaints, inheritance."""

    rules = {"post": "view"}

    def post(self, request: HttpRequest) -> HttpResponse:
        """Answer with plain data; nothing is written."""
        try:
            asked = json.loads(request.body)
            text = asked["text"]
            if not isinstance(text, str) or not isinstance(asked.get("op") or {}, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            return JsonResponse({"detail": "Expected an object with a text."}, status=422)
        refused: PomsError | None = None
        if op := asked.get("op"):
            try:
                text = operate(text, op)
            except Refused as error:
                refused = error
        parsed = editing.read(text, self.here, request.user)
        found = looked(text, parsed, self.here)
        if refused is not None:
            found["refused"] = {"detail": refused.detail, "problems": _plain(refused.problems)}
        if isinstance(stage := asked.get("stage"), str):
            found["stage"] = self._stage(text, parsed, stage)
        return JsonResponse(found)

    def _stage(self, text: str, parsed: Parsed, stage: str) -> dict[str, Any]:
        kinds = [*parsed.definition.job_types, *(entry.text() for entry in queries.job_types(self.here))]
        why = editor_graph.stage_of(text, stage, kinds, queries.defaults_of(self.here))
        return {"name": stage, "own": editor_graph.own_of(text, stage), **why}


def looked(text: str, parsed: Parsed, experiment: Any) -> dict[str, Any]:
    """Return a text with its drawing and complaints, as plain data."""
    known = {
        "job_type": sorted({*(j.name for j in parsed.definition.job_types), *_names(queries.job_types(experiment))}),
        "login_setup": sorted(
            {*(s.name for s in parsed.definition.login_setups), *_names(queries.login_setups(experiment))}
        ),
    }  # fmt: skip
    return {
        "text": text, "graph": editor_graph.graph_of(parsed), "problems": editor_graph.problems_of(parsed),
        "sections": editor_graph.sections_of(text), "known": known, "refused": None, "ready": not parsed.errors,
    }  # fmt: skip


def _names(rows: Any) -> list[str]:
    return [row.name for row in rows]


def _plain(problems: Any) -> list[dict[str, Any]]:
    return [{"field": p.field, "message": p.message, "hint": p.hint} for p in problems if isinstance(p, Problem)]


urlpatterns = [
    path("e/<slug:experiment>/editor/look/", EditorLook.as_view(), name="editor-look"),
    key_path("editor/", EditorPage.as_view(), "campaign-editor", "c"),
]
