"""The documentation on its shelf: which pages there are and in which order, read once a change, and searched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from poms_site.markdown import Document, Heading, render, served_at

HOME: Path = settings.BASE_DIR
PARTS = {"guide": "Guide", "operate": "Operating", "api": "The API", "develop": "Developing"}
# All that is shown beside docs/, by name: a file that merely lies in the clone is nobody's business.
SOURCES = frozenset({
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "THREAT_MODEL.md",
    "examples/README.md", "examples/condor_job.py", "examples/slurm_job.py", "examples/submitting.py",
    *(f"examples/dimuon/{name}" for name in (
        "README.md", "dimuon.ini", "dimuon_submit", "eventfile.py", "gen.py", "merge.py", "reco.py", "same_events.py",
        "setup.sh", "zpeak.py",
    )),
    *(f"examples/keepup/{name}" for name in (
        "README.md", "detector.py", "keepup.ini", "keepup_submit", "reco.py", "records.py", "setup.sh",
    )),
})  # fmt: skip
MOST_FOUND = 20
MOST_ASKED = 200
_EXCERPT = 180


@dataclass(frozen=True)
class Leaf:
    """One page: the file, where it is served, and what it says."""

    path: str
    address: str
    document: Document


@dataclass(frozen=True)
class Found:
    """A section in which all words of a search occur; `excerpt` has the words that were looked for marked True."""

    leaf: Leaf
    heading: Heading
    address: str
    excerpt: list[tuple[str, bool]]


def leaf(path: str) -> Leaf | None:
    """Return a Markdown file of the repository as a page, or None where there is none."""
    file = (HOME / path).resolve()
    if not file.is_relative_to(HOME.resolve()) or not file.is_file():
        return None
    return Leaf(path, served_at(path), _rendered(path, file.stat().st_mtime_ns))


def source(path: str) -> str | None:
    """Return the text of a file that may be shown, or None."""
    file = HOME / path
    return file.read_text(encoding="utf-8") if path in SOURCES and file.is_file() else None


def part_pages(part: str) -> list[Leaf]:
    """Return the pages of a part: its index, then the pages in the order in which the index names them."""
    index = leaf(f"docs/{part}/index.md")
    if index is None:
        return []
    pages = {served_at(path): path for path in _paths(part)}
    named = [index.address, *(link.partition("#")[0] for link in index.document.links)]
    order = dict.fromkeys([address for address in named if address in pages] + sorted(pages))
    return [found for address in order if (found := leaf(pages[address])) is not None]


def search(asked: str) -> list[Found]:
    """Return the sections in which every word occurs, those first that have one in their heading."""
    words = asked[:MOST_ASKED].casefold().split()
    if not words:
        return []
    found: list[tuple[int, Found]] = []
    for page in (page for part in PARTS for page in part_pages(part)):
        title = page.document.title.text
        for section in page.document.sections:
            said = f"{section.heading.text} {section.words}".casefold()
            if not all(word in said or word in title.casefold() for word in words):
                continue
            if not any(word in said for word in words):
                continue  # only the title has them: its own section says so already
            head = section.heading.text.casefold()
            weight = sum(word in head for word in words)
            address = page.address + (f"#{section.heading.anchor}" if section.heading.level > 1 else "")
            found.append((-weight, Found(page, section.heading, address, _excerpt(section.words, words))))
    return [hit for _, hit in sorted(found, key=lambda pair: pair[0])[:MOST_FOUND]]


def _excerpt(text: str, words: list[str]) -> list[tuple[str, bool]]:
    """Return a piece of a text around the first of the words, in parts that are one of them or not."""
    either = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    first = either.search(text)
    begin = max(0, first.start() - _EXCERPT // 3) if first else 0
    begin = text.find(" ", begin) + 1 if begin else 0
    piece = text[begin : begin + _EXCERPT]
    if begin + _EXCERPT < len(text):
        piece = f"{piece.rpartition(' ')[0]} …"
    return list(_marked(f"{'… ' if begin else ''}{piece}", either))


def _marked(text: str, either: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    at = 0
    for hit in either.finditer(text):
        yield text[at : hit.start()], False
        yield hit.group(), True
        at = hit.end()
    yield text[at:], False


def _paths(part: str) -> list[str]:
    return [file.relative_to(HOME).as_posix() for file in (HOME / "docs" / part).rglob("*.md")]


@lru_cache(maxsize=256)
def _rendered(path: str, changed: int) -> Document:
    """Render a file; `changed` is its time of change, so that a page written anew is rendered anew."""
    return render((HOME / path).read_text(encoding="utf-8"), path)
