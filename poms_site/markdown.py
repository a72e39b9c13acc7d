"""Renders one page of Markdown to HTML with anchors and addresses of its links; knows neither Django nor HTTP."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass(frozen=True)
class Heading:
    """A heading: its level, its words, and the anchor that leads to it."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Section:
    """A heading with the plain words that stand below it, up to the next heading."""

    heading: Heading
    words: str


@dataclass(frozen=True)
class Document:
    """A page as it is served: the title stands apart, so that a template can put its heading where it belongs."""

    title: Heading
    html: str
    sections: tuple[Section, ...]
    links: tuple[str, ...]

    @property
    def headings(self) -> list[Heading]:
        """Return the headings for a table of contents: the second and the third level."""
        return [s.heading for s in self.sections if s.heading.level in (2, 3)]


def render(text: str, page: str) -> Document:
    """Return the file `page` of the repository (its path from the root) as it is served.

    Markup of HTML in the text is shown, not obeyed.
    """
    tokens = _MARKDOWN.parse(text)
    links = tuple(_readdress(tokens, page))
    headings = list(_name_headings(tokens))
    _label_tables(tokens)
    begins = [i for i, token in enumerate(tokens) if token.type == "heading_open"]
    sections = tuple(
        Section(heading, _plain(tokens[here + 3 : then]))
        for heading, (here, then) in zip(headings, pairwise([*begins, len(tokens)]), strict=True)
    )
    title = Heading(1, posixpath.basename(page), "")
    if headings and headings[0].level == 1:
        title = headings[0]
        del tokens[begins[0] : begins[0] + 3]  # it opens, its words, it closes
    return Document(title, _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}), sections, links)


def address(link: str, page: str) -> str:
    """Return where a link of the file `page` leads when it is served; what is no relative link stays as it is."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return link
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    return quote(served_at(path)) + (f"#{parts.fragment}" if parts.fragment else "")


def served_at(path: str) -> str:
    """Return the address at which a file of the repository is served."""
    inside = path.removeprefix("docs/")
    if inside == path:
        return f"/docs/source/{path}/"
    *folders, name = inside.removesuffix(".md").split("/")
    return "/".join(["/docs", *folders, *([] if name == "index" else [name]), ""])


def slug(text: str) -> str:
    """Return the anchor of a heading as the forges make it."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def remark(text: str) -> str:
    """Return what somebody has said, as HTML: no markup of HTML, no pictures from elsewhere, line breaks kept."""
    return str(_REMARKS.render(text))


# --- What is done to the tokens before they are rendered ----------------------------------------------------------


def _readdress(tokens: Sequence[Token], page: str) -> Iterator[str]:
    """Point each link and picture at where its target is served; yield the addresses."""
    for token in (child for parent in tokens for child in parent.children or ()):
        name = {"link_open": "href", "image": "src"}.get(token.type)
        if name:
            target = address(str(token.attrs.get(name, "")), page)
            token.attrSet(name, target)
            if urlsplit(target).scheme in ("http", "https"):
                token.attrSet("rel", "noopener")
            yield target


def _name_headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Give each heading its anchor, a repeated one with a number; yield them."""
    seen: dict[str, int] = {}
    for opens, inline, closes in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opens.type == "heading_open":
            text = _words(inline)
            name = slug(text)
            seen[name] = seen.get(name, -1) + 1
            heading = Heading(int(opens.tag[1]), text, f"{name}-{seen[name]}" if seen[name] else name)
            opens.meta["heading"] = closes.meta["heading"] = heading
            yield heading


def _label_tables(tokens: Sequence[Token]) -> None:
    """Name each table after its section, so that who hears the page knows which one scrolls; no two alike."""
    place, number = "", 0
    for token in tokens:
        if token.type == "heading_open":
            place, number = token.meta["heading"].text, 0
        elif token.type == "table_open":
            number += 1
            token.meta["label"] = f"Table {number} of “{place}”" if number > 1 else f"Table of “{place}”"
        elif token.type in ("th_open", "td_open"):
            style = str(token.attrs.pop("style", ""))  # the content security policy forbids styles in the text
            if style:
                token.attrSet("class", style.removeprefix("text-align:"))
            if token.type == "th_open":
                token.attrSet("scope", "col")


def _words(inline: Token) -> str:
    """Return what a reader sees of a line of text, without markup."""
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content for child in inline.children or ()
    )


def _plain(tokens: Sequence[Token]) -> str:
    """Return the words of a run of blocks in one line."""
    parts = [_words(token) if token.type == "inline" else token.content for token in tokens]
    return " ".join(" ".join(parts).split())


# --- How some blocks are rendered ---------------------------------------------------------------------------------


def _heading_open(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return f'<div class="heading"><{tokens[at].tag} id="{escape(tokens[at].meta["heading"].anchor)}">'


def _heading_close(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    # The link stands beside the heading: inside, it would be read as a part of it.
    heading = tokens[at].meta["heading"]
    label = escape(f"Link to “{heading.text}”")
    return f'</{tokens[at].tag}><a class="anchor" href="#{escape(heading.anchor)}" aria-label="{label}">#</a></div>\n'


def _table_open(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    label = escape(tokens[at].meta["label"])
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>\n'


def _table_close(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _code(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    language = tokens[at].info.strip().split(" ")[0] or "text"
    code = f'<code class="language-{escape(language)}">{escape(tokens[at].content, quote=False)}</code>'
    return f'<pre class="code" tabindex="0">{code}</pre>\n'


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
for _name, _rule in {
    "heading_open": _heading_open,
    "heading_close": _heading_close,
    "table_open": _table_open,
    "table_close": _table_close,
    "fence": _code,
    "code_block": _code,
}.items():
    _MARKDOWN.add_render_rule(_name, _rule)

_REMARKS = (
    MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable(["image", "heading", "lheading"])
)
_REMARKS.add_render_rule("fence", _code)
_REMARKS.add_render_rule("code_block", _code)


def _outward(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noopener nofollow")
    return str(renderer.renderToken(tokens, at, options, env))


_REMARKS.add_render_rule("link_open", _outward)
