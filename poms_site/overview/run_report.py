"""The report of one campaign's run: a single HTML file that needs nothing else, to keep, send and print."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from approvals.models import Decision, Request
from campaigns.models import Campaign
from core.clock import now
from poms_site.overview import run_facts
from poms_site.overview.run_batches import batches_of
from poms_site.overview.run_failures import failures_of, refusals_of
from poms_site.overview.run_graph import graph_of
from poms_site.overview.run_history import history_of
from poms_site.overview.run_timeline import timeline_of
from poms_site.overview.words import duration, measured, number, printable, words

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
GRAPH_WIDTH = 1140
_UNITS = {"gev": "GeV", "mev": "MeV", "tev": "TeV", "pb": "pb", "mb": "MB", "pct": "%", "seconds": "s", "s": "s"}
# What a caller's facts repeat of the campaign itself; everything else that is no key number is a result.
_NOT_RESULTS = ("campaign", "state", "plot", "report")


def write_report(campaign: Campaign, out: Path, *, plot: Path | None = None, facts: Mapping[str, object] = {}) -> Path:
    """Write the report of a campaign's run to `out` (whole or not at all) and return it.

    `plot` is a picture of the physics result (PNG, JPEG or SVG). `facts` are results to show beside the key
    numbers, or instead of those of the same name; `x_gev` with `x_err_gev` is a value with its error. Raises
    ValueError for a picture of another kind, OSError when the picture cannot be read or the file not be written.
    """
    html = report_of(campaign, plot=plot, facts=facts)
    unfinished = out.with_name(f"{out.name}.part")
    unfinished.write_text(html, encoding="utf-8")
    os.replace(unfinished, out)
    return out


def report_of(campaign: Campaign, *, plot: Path | None = None, facts: Mapping[str, object] = {}) -> str:
    """Return the report of a campaign's run as HTML, as `write_report` writes it."""
    picture = _picture(plot) if plot else None
    with _one_moment():
        html = render_to_string("overview/run_report.html", _context(campaign.pk, facts) | {"plot": picture})
    return printable(html)


@contextmanager
def _one_moment() -> Iterator[None]:
    """Read everything as it is at one moment, so that the numbers agree while the campaign runs on."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _context(campaign_id: int, facts: Mapping[str, object]) -> dict[str, Any]:
    campaign = Campaign.objects.select_related("experiment", "owner", "revision__author").get(pk=campaign_id)
    stages = run_facts.stages_of(campaign)
    numbers = run_facts.numbers_of(campaign, stages)
    request = run_facts.request_of(campaign)
    order = {stage.version.stage_id: place for place, stage in enumerate(stages)}
    batches, batches_total = batches_of(campaign, order)
    failures, failures_total = failures_of(campaign)
    history, history_total = history_of(campaign)
    seeds, seeds_total = run_facts.seeds_of(campaign)
    written = now()
    began = campaign.started_at or campaign.created_at
    return {
        "campaign": campaign,
        "revision": campaign.revision or campaign.revisions.order_by("-number").first(),
        "request": request,
        "approval": _approval(request),
        "written": written,
        "began": began,
        "seconds": ((campaign.ended_at or written) - began).total_seconds(),
        "progress": {
            name: sum(stage.progress[name] for stage in stages)
            for name in ("units", "done", "running", "recovering", "failed", "waiting")
        },
        "gates": run_facts.standing_gates(campaign) if campaign.ended_at is None else [],
        "tiles": _tiles(numbers, facts),
        "results": _results(facts),
        "stages": stages,
        "graph": graph_of(stages, GRAPH_WIDTH),
        "timeline": timeline_of(campaign, batches, batches_total),
        "failures": failures,
        "failures_total": failures_total,
        "refusals": refusals_of(campaign),
        "batches": batches,
        "batches_total": batches_total,
        "history": history,
        "history_total": history_total,
        "recipes": run_facts.recipes_of(stages),
        "seeds": seeds,
        "seeds_total": seeds_total,
        "versions": run_facts.versions(),
        "css": _css(),
    }


def _approval(request: Request | None) -> Decision | None:
    decisions = list(request.decisions.all()) if request else []
    return next((d for d in sorted(decisions, key=lambda d: d.pk, reverse=True) if d.verdict == "approve"), None)


# --- Numbers --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """One key number: its name, how it is written, and the mark that it deserves (or none)."""

    name: str
    text: str
    mark: str = ""


def _tiles(numbers: Mapping[str, int], facts: Mapping[str, object]) -> list[Tile]:
    """Return the key numbers; a fact of the same name goes before what was counted here."""
    tiles = []
    for key, counted in numbers.items():
        given = facts.get(key)
        value = given if isinstance(given, int) else counted
        mark = ""
        if key in ("duplicates", "lost"):
            mark = "failed" if value else "done"
        elif key == "failed_jobs" and value:
            mark = "failed"
        elif key == "recovered_inputs" and value:
            mark = "done"
        tiles.append(Tile(words(key), number(value), mark))
    return tiles


def _results(facts: Mapping[str, object]) -> list[Tile]:
    """Return the facts that are no key numbers, with their units and errors."""
    counted = ("batches", "submissions", "jobs", "failed_jobs", "recovered_inputs", "inputs", "outputs",
               "duplicates", "lost")  # fmt: skip
    tiles = []
    for key, value in facts.items():
        if value is None or key in _NOT_RESULTS or key in counted or "_err_" in key:
            continue
        name, _, unit = key.rpartition("_")
        if unit not in _UNITS or not name:
            name, unit = key, key if key == "seconds" else ""
        error = facts.get(f"{name}_err_{unit}")
        name = "wall time" if name == "seconds" else words(name)
        tiles.append(Tile(name[:1].upper() + name[1:], _written(value, error, _UNITS.get(unit, ""))))
    return tiles


def _written(value: object, error: object, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(error, int | float):
        return measured(value, error, unit)
    if unit == "s":
        return duration(value)
    return f"{number(value)} {unit}".strip()


def _picture(path: Path) -> SafeString:
    kind = PICTURES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path.name} is no picture for a report: it must be one of {', '.join(PICTURES)}")
    text = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return mark_safe(text)  # noqa: S308 - base64 and a constant


def _css() -> SafeString:
    """Return the style sheets of the report, our own files, to stand inside it."""
    parts = []
    for name in ("poms/tokens.css", "poms/components.css", "poms/report.css"):
        found = finders.find(name)
        if found is None:
            raise FileNotFoundError(f"the style sheet {name} is missing below {settings.STATICFILES_DIRS[0]}")
        parts.append(Path(str(found)).read_text(encoding="utf-8"))
    return mark_safe("\n".join(parts))  # noqa: S308 - files of this project
