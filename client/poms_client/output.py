"""Writes results in the form that was asked for: JSON, references, tables for people, plain for pipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from poms_client import formatting
from poms_client.errors import PomsError, UsedWrongly
from poms_client.states import look

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Record = dict[str, Any]
Columns = Sequence[str]

WIDEST = 40  # cells of a column before it is wrapped
SCREENFUL = 200  # what people get of a list unless they ask for more


class Output:
    """Where results go; errors and remarks go to stderr, so that a pipe carries only results."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False):
        if as_json and quiet:
            raise UsedWrongly("--json and --quiet exclude each other")
        self.as_json = as_json
        self.quiet = quiet
        self.people = sys.stdout.isatty() and not as_json and not quiet
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The terminal, with colours unless NO_COLOR is set."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False)
        return self._console

    def rows(self, items: Iterable[Record], columns: Columns, empty: str, limit: int | None) -> None:
        """Write a list: a table for people, one line an object for pipes, an array for JSON."""
        found = iter(items)
        if self.as_json:
            self._array(found)
        elif self.quiet:
            for item in found:
                print(formatting.reference(item))
        elif self.people:
            page = list(islice(found, limit or SCREENFUL))
            if not page:
                note(empty)
                return
            self.table(page, columns)
            if limit is None and next(found, None) is not None:
                note(f"These are the first {SCREENFUL}; --limit N shows more, --state narrows them.")
        else:
            self._plain(found, columns, empty)

    def _array(self, items: Iterable[Record]) -> None:
        separator = "["
        for item in items:
            print(f"{separator}{json.dumps(item)}", end="")
            separator = ",\n "
        print("[]" if separator == "[" else "]")

    def _plain(self, items: Iterable[Record], columns: Columns, empty: str) -> None:
        found = iter(items)
        first = next(found, None)
        if first is None:
            note(empty)
            return
        print("\t".join(columns))
        for item in chain([first], found):
            print("\t".join(formatting.plain(column, item.get(column)) for column in columns))

    def table(self, items: Sequence[Record], columns: Columns, title: str = "") -> None:
        """Write a table for people, without empty columns and without those that a narrow terminal has no room for."""
        from rich.table import Table
        from rich.text import Text

        filled = [name for name in columns if any(item.get(name) not in (None, "", [], {}) for item in items)]
        rows = [{name: self.cell(name, item.get(name), brief=True) for name in filled} for item in items]
        shown = self._that_fit(filled, rows)
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
            header_style="bold",
            title=Text(title, style="bold") if title else None,
            title_justify="left",
        )
        for name in shown:
            is_number = name in formatting.QUANTITIES
            table.add_column(
                formatting.title(name),
                justify="right" if is_number else "left",
                no_wrap=name in ("ref", "id", "state") or is_number,
                overflow="fold" if name in ("ref", "id") else "ellipsis",
            )
        for row in rows:
            table.add_row(*(row[name] for name in shown))
        self.console.print(table)
        if len(shown) < len(filled):
            left_out = ", ".join(formatting.title(name) for name in filled[len(shown) :])
            self.console.print(f"a wider terminal also shows {left_out}", style="dim")

    def _that_fit(self, names: Columns, rows: Sequence[dict[str, Text]]) -> Columns:
        """Return the first columns that fit beside each other, but at least the first three."""
        used = 0
        for index, name in enumerate(names):
            widest = max(row[name].cell_len for row in rows)
            used += max(len(formatting.title(name)), min(widest, WIDEST)) + 2
            if used - 2 > self.console.width and index >= 3:
                return names[:index]
        return names

    def cell(self, key: str, value: Any, *, brief: bool = False) -> Text:
        """Return a value for people as text that nothing in it can turn into markup or escapes."""
        from rich.text import Text

        if key in formatting.STATES and isinstance(value, str) and value:
            return self.state(value)
        if brief and key == "progress" and isinstance(value, dict):
            return Text(formatting.share(value))
        return Text(formatting.pretty(key, value), style="bold" if key in ("ref", "id") else "")

    def state(self, state: str) -> Text:
        """Return a state as mark and word in its colour."""
        from rich.text import Text

        seen = look(state)
        return Text(f"{self.mark(state)} {formatting.words(state)}".strip(), style=seen.colour)

    def mark(self, state: str) -> str:
        """Return the mark of a state, of letters where the terminal has no Unicode."""
        return look(state).mark if unicode_works() else look(state).ascii_mark

    def one(self, item: Record) -> None:
        """Write one object whole."""
        if self.as_json:
            self.document(item)
        elif self.quiet:
            print(formatting.reference(item))
        elif self.people:
            self._sheet(item)
        else:
            for name, value in _flat("", item):
                print(f"{name}\t{value}")

    def document(self, item: Any) -> None:
        """Write JSON: spread out for people, one line for pipes."""
        print(json.dumps(item, indent=2 if sys.stdout.isatty() else None))

    def done(self, ref: str, verb: str, answer: Any) -> None:
        """Write the line on one object to which a verb was said."""
        item = answer if isinstance(answer, dict) else {}
        state = str(item.get("state") or "")
        if self.as_json:
            self.document(answer)
        elif self.quiet:
            print(ref)
        elif self.people:
            from rich.text import Text

            line = Text.assemble((ref, "bold"), f"  {verb}")
            if state:
                line.append("  ").append_text(self.state(state))
            self.console.print(line)
        else:
            print(f"{ref}\t{verb}\t{formatting.plain('state', state)}")

    def _sheet(self, item: Record) -> None:
        from rich.table import Table
        from rich.text import Text

        head = Text.assemble((formatting.reference(item), "bold"))
        if item.get("state"):
            head.append("  ").append_text(self.state(str(item["state"])))
        if item.get("title"):
            head.append("  " + formatting.one_line(str(item["title"])))
        self.console.print(head)
        facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        later: list[tuple[str, Any]] = []
        for key, value in item.items():
            if key in ("ref", "state", "title") or value in (None, "", [], {}):
                continue
            if _is_records(value) or (isinstance(value, str) and "\n" in value.strip()):
                later.append((key, value))
            else:
                facts.add_row(formatting.title(key), self.cell(key, value))
        if facts.row_count:
            self.console.print(facts)
        for key, value in later:
            self.console.print()
            if isinstance(value, str):
                self.console.print(Text(formatting.words(key), style="bold"))
                self.console.print(Text(formatting.visible(value.strip("\n"))), soft_wrap=True)
            else:
                columns = list(dict.fromkeys(name for record in value for name in record))
                self.table(value, columns, title=formatting.words(key))


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif _is_records(value):
        for index, item in enumerate(value):
            yield from _flat(f"{prefix}.{index}", item)
    else:
        yield formatting.one_line(prefix), formatting.plain(prefix, value if value != {} else None)


def unicode_works() -> bool:
    """Return whether stdout can write the marks."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def note(text: str) -> None:
    """Write a remark to stderr."""
    print(formatting.visible(text), file=sys.stderr)


def complain(error: PomsError, about: str = "") -> None:
    """Write what was not done and why to stderr: a sentence, then a line for each field and hint."""
    sys.stdout.flush()
    named = not about or error.summary.startswith((about, repr(about)))
    note(f"poms: {formatting.one_line(error.summary if named else f'{about}: {error.summary}')}")
    for line in error.lines:
        note(f"  {formatting.one_line(line)}")


def write_text(text: str) -> None:
    """Write text as it is; at a terminal without what could steer it."""
    if sys.stdout.isatty():
        print(formatting.visible(text).rstrip("\n"))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
