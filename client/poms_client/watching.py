"""Follows a campaign to its end: a living picture on a terminal, a line for each change on a pipe."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from poms_client import formatting
from poms_client.errors import DONE, REFUSED, UNAVAILABLE, Unavailable
from poms_client.output import Output, complain, note, unicode_works
from poms_client.states import CAMPAIGN_ENDED

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

Record = dict[str, Any]

NEWEST = 6  # events shown below the picture
PAGE = 50  # events asked for at each look; more pages follow when more happened
MOST_EVENTS = 1000  # that are taken in at one look
BAR_WIDTH = 32
# word, block, the same for terminals without Unicode, colour; the blocks differ, so that colour is not needed
SEGMENTS = (
    ("done", "█", "#", "green"),
    ("running", "▓", "=", "blue"),
    ("recovering", "▒", "~", "blue"),
    ("failed", "╳", "x", "red"),
    ("waiting", "░", ".", "bright_black"),
)


class View:
    """What is known of the campaign at one moment: `events` are its newest, `fresh` those not seen before."""

    def __init__(self, campaign: Record, events: Sequence[Record], fresh: Sequence[Record] = ()):
        self.campaign = campaign
        self.events = events
        self.fresh = fresh
        self.state = str(campaign.get("state", ""))
        self.gates = {f"{gate.get('gate')}: {gate.get('text')}": gate for gate in _records(campaign.get("gates"))}
        self.stages = {str(stage.get("ref")): stage for stage in _records(campaign.get("stages"))}


def watch(client: Any, ref: str, output: Output, *, every: float, timeout: float | None, patience: float) -> int:
    """Follow the campaign and return the exit code.

    0 when it succeeded, 1 when it failed, was cancelled or `timeout` seconds passed, 5 when the service was
    unavailable for `patience` seconds without a break.
    """
    drawn = output.people and not output.console.is_dumb_terminal
    screen = _Live(output) if drawn else _Lines(output)
    started = time.monotonic()
    silent_since: float | None = None
    view: View | None = None
    with screen:
        while True:
            wait = every
            try:
                view = look(client, ref, view)
                silent_since = None
                screen.show(view)
                if view.state in CAMPAIGN_ENDED:
                    break
            except Unavailable as problem:
                silent_since = silent_since or time.monotonic()
                silence = time.monotonic() - silent_since
                if not problem.repeatable and problem.problem.get("status") is None:
                    raise
                if silence >= patience:
                    screen.close()
                    complain(problem, about=ref)
                    note(f"  Only the watching ended, after {formatting.duration(silence)} of silence.")
                    return UNAVAILABLE
                screen.silence(problem)
                wait = min(max(every, problem.retry_after or 0.0), max(0.05, patience - silence))
            if timeout is not None:
                left = timeout - (time.monotonic() - started)
                if left <= 0:
                    screen.close()
                    note(f"poms: {ref} had not ended after {formatting.duration(timeout)}; it goes on.")
                    return REFUSED
                wait = min(wait, left)
            time.sleep(wait)
    screen.end(view)
    return DONE if CAMPAIGN_ENDED[view.state] else REFUSED


def look(client: Any, ref: str, before: View | None) -> View:
    """Ask for the campaign and for what happened since the last look."""
    campaign = client.show("campaigns", ref)
    if before is None:
        return View(campaign, [*client.history("campaigns", ref, limit=NEWEST)][::-1])
    newest_first = client.history("campaigns", ref, limit=MOST_EVENTS, page=PAGE)
    fresh = [*takewhile(lambda event: event not in before.events, newest_first)][::-1]
    return View(campaign, [*before.events, *fresh][-MOST_EVENTS:], fresh)


def changes(before: View | None, after: View) -> Iterator[tuple[str, str]]:
    """Yield time and words for each thing that changed; events carry their own time."""
    now = formatting.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    for event in after.fresh:
        yield formatting.plain("at", event.get("at")), sentence(event)
    if before is None or _facts(before.campaign) != _facts(after.campaign):
        yield now, f"{formatting.reference(after.campaign)} {describe(after.campaign)}"
    for name, stage in after.stages.items():
        if before is None or _facts(before.stages.get(name, {})) != _facts(stage):
            yield now, f"{formatting.one_line(name)} {describe(stage)}"
    earlier = before.gates if before else {}
    for gate in after.gates:
        if gate not in earlier:
            yield now, f"gate closed: {formatting.one_line(gate)}"
    for gate in earlier:
        if gate not in after.gates:
            yield now, f"gate open: {formatting.one_line(gate)}"


def describe(item: Record) -> str:
    """Return state, units and jobs of a campaign or stage in one line."""
    told = [str(item["state"])] if item.get("state") else ["complete"] if item.get("complete") else []
    counts = shares(item)
    told.append(f"{counts['done']} of {sum(counts.values())} units done")
    told += [f"{counts[word]} {word}" for word in ("running", "recovering", "failed", "waiting") if counts[word]]
    jobs = {word: count for word, count in (item.get("jobs") or {}).items() if count}
    if jobs:
        told.append("jobs: " + " ".join(f"{count} {word}" for word, count in jobs.items()))
    return formatting.one_line(", ".join(told))


def sentence(event: Record) -> str:
    """Return a transition in words: demo/b1 pending → submitted (launch, loop): reason."""
    arrow = "→" if unicode_works() else "->"
    before = f"{event.get('from')} {arrow} " if event.get("from") else ""
    who = ", ".join(str(event[key]) for key in ("verb", "actor") if event.get(key))
    reason = f": {event['reason']}" if event.get("reason") else ""
    return formatting.one_line(f"{event.get('of') or ''} {before}{event.get('to')} ({who}){reason}".strip())


def shares(item: Record) -> dict[str, int]:
    """Return how many units are done, running, failed and waiting; what is not said counts as waiting."""
    progress = item.get("progress")
    counts = progress if isinstance(progress, dict) else item
    found = {word: int(counts.get(word) or 0) for word, *_ in SEGMENTS}
    rest = int(counts.get("units") or 0) - sum(found[word] for word in found if word != "waiting")
    return {**found, "waiting": max(rest, 0)}


def widths(counts: dict[str, int], width: int) -> dict[str, int]:
    """Share out the cells of a bar; what is not zero gets at least one, so that one failure is seen."""
    total = sum(counts.values())
    if not total:
        return dict.fromkeys(counts, 0)
    cells = {word: max(1, count * width // total) if count else 0 for word, count in counts.items()}
    largest = max(cells, key=lambda word: cells[word])
    cells[largest] += width - sum(cells.values())
    return cells


def event_line(output: Output, event: Record) -> Text:
    """Return a transition for people."""
    from rich.text import Text

    state = str(event.get("to") or "")
    line = Text.assemble((f"{formatting.relative(event.get('at'))}".rjust(16), "dim"), "  ")
    return line.append(output.mark(state), style=output.state(state).style).append(f" {sentence(event)}")


def _records(value: Any) -> list[Record]:
    return [item for item in value or () if isinstance(item, dict)]


def _facts(item: Record) -> Record:
    keys = ("state", "progress", "jobs", "units", "done", "running", "recovering", "failed", "complete")
    return {key: item.get(key) for key in keys}


class _Lines:
    """For pipes: a line for each change, with --json the campaign; with --quiet its reference at the end."""

    def __init__(self, output: Output):
        self.output = output
        self.before: View | None = None
        self.silent = False

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, view: View) -> None:
        if self.silent:
            note("poms: the service answers again")
            self.silent = False
        changed = list(changes(self.before, view))
        self.before = view
        if self.output.quiet or not changed:
            return
        if self.output.as_json:
            print(json.dumps(view.campaign), flush=True)
            return
        for at, words in changed:
            print(f"{at}\t{words}", flush=True)

    def silence(self, problem: Unavailable) -> None:
        if not self.silent:
            note(f"poms: {formatting.one_line(problem.summary)}; trying again")
        self.silent = True

    def close(self) -> None:
        """Nothing is open."""

    def end(self, view: View) -> None:
        if self.output.quiet:
            print(formatting.reference(view.campaign))


class _Live:
    """For terminals: a picture that is drawn again in place, and its last state stays."""

    def __init__(self, output: Output):
        from rich.live import Live

        self.output = output
        self.view: View | None = None
        self.problem: Unavailable | None = None
        self.live = Live(
            get_renderable=self.picture,
            console=output.console,
            refresh_per_second=2,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> _Live:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, view: View) -> None:
        self.view, self.problem = view, None
        self.live.refresh()

    def silence(self, problem: Unavailable) -> None:
        self.problem = problem
        self.live.refresh()

    def close(self) -> None:
        self.live.stop()

    def end(self, view: View) -> None:
        """The last picture says it."""

    def picture(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        shown: list[Any] = []
        if self.problem:
            shown.append(Text(f"! {formatting.one_line(self.problem.summary)}; trying again", style="yellow"))
        if self.view is None:
            return Group(*shown, Text("Asking …", style="dim"))
        view = self.view
        shown += [self._head(view), self._bars(view)]
        for gate in view.gates.values():
            since = f", since {formatting.relative(gate['since'])}" if gate.get("since") else ""
            shown.append(
                Text.assemble(
                    (f"{self.output.mark('held')} {formatting.one_line(str(gate.get('gate')))}", "yellow"),
                    f"  {formatting.one_line(str(gate.get('text') or ''))}{since}",
                )
            )
        if view.events:
            shown.append(Text(""))
            shown += [event_line(self.output, event) for event in view.events[-NEWEST:]]
        return Group(*shown)

    def _head(self, view: View) -> Text:
        from rich.text import Text

        campaign = view.campaign
        head = Text.assemble((formatting.reference(campaign), "bold"))
        head.append("  ").append_text(self.output.state(view.state))
        head.append(f"  {formatting.one_line(str(campaign.get('name') or ''))}")
        if campaign.get("started"):
            head.append(f"  started {formatting.relative(campaign['started'])}", style="dim")
        if isinstance(campaign.get("expected_end"), dict):
            head.append(f"  ends {formatting.expected_end(campaign['expected_end'])}")
        return head

    def _bars(self, view: View) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        width = max(10, min(BAR_WIDTH, self.output.console.width // 3))
        named = [("all", view.campaign)]
        named += [(formatting.one_line(str(stage.get("name"))), stage) for stage in view.stages.values()]
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=min(24, max(len(name) for name, _ in named)))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for name, item in named:
            counts = shares(item)
            total = sum(counts.values())
            told = Text(f"{formatting.number(counts['done'])} of {formatting.number(total)} units")
            if not total:
                told = Text("no units yet", style="dim")
            for word, _, _, colour in SEGMENTS[1:]:
                if counts[word]:
                    told.append(" · ").append(f"{formatting.number(counts[word])} {word}", style=colour)
            jobs = formatting.tally(item.get("jobs") or {})
            if jobs:
                told.append(f"   jobs: {jobs}", style="dim")
            if item.get("complete"):
                told.append("  ").append(f"{self.output.mark('completed')} complete", style="green")
            table.add_row(name, self._bar(counts, width), told)
        return table

    def _bar(self, counts: dict[str, int], width: int) -> Text:
        from rich.text import Text

        column = 1 if unicode_works() else 2
        cells = widths(counts, width)
        bar = Text()
        for segment in SEGMENTS:
            bar.append(segment[column] * cells[segment[0]], style=segment[3])
        return bar if bar.plain else Text(" " * width)
