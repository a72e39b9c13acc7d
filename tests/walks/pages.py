"""What there is to walk on a page of the guide or of operating: blocks of code, and code within its sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from markdown_it import MarkdownIt

HOME = Path(settings.BASE_DIR)
PAGES = sorted(
    path.relative_to(HOME).as_posix() for part in ("guide", "operate", "api") for path in (HOME / "docs" / part).rglob("*.md")
)  # fmt: skip
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """One block of code: where it is, which language it says, its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """Return its first line, by which people know it."""
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.first[:50]}"


def text_of(page: str) -> str:
    """Return the text of a page."""
    return (HOME / page).read_text(encoding="utf-8")


def blocks(page: str, text: str = "") -> list[Block]:
    """Return the blocks of code of a page; commands that say no language are told by how they begin."""
    found = []
    for token in _MARKDOWN.parse(text or text_of(page)):
        if token.type in ("fence", "code_block"):
            language = token.info.strip() or ("sh" if token.content.startswith(("poms ", "$ ")) else "")
            found.append(Block(page, (token.map or [0])[0] + 1, language, token.content))
    return found


def inline(page: str, text: str = "") -> Iterator[str]:
    """Yield what stands in backquotes within sentences and tables."""
    for token in _MARKDOWN.parse(text or text_of(page)):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


ALL = [block for page in PAGES for block in blocks(page)]
