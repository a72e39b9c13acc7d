"""The documentation as pages: the guide and its neighbours, the sources that it names, and a search over them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.safestring import mark_safe

from core.errors import NotVisible
from experiments.rules import PUBLIC
from poms_site.web import shelf
from poms_site.web.page import Page

LANDING = "guide"


class Docs(Page):
    """What all pages of the documentation share: everybody may read them."""

    rules = {"get": PUBLIC}
    place = "help"
    help = "/docs/"

    def show_leaf(self, leaf: shelf.Leaf | None, part: str = "", **more: Any) -> HttpResponse:
        """Answer with a page of Markdown, or say that there is none."""
        if leaf is None:
            raise NotVisible("There is no such page in the documentation. The search there may know where it went.")
        pages = shelf.part_pages(part) if part else []
        at = pages.index(leaf) if leaf in pages else -1
        context = {
            "doc": leaf.document, "leaf": leaf, "part": part, "part_title": shelf.PARTS.get(part, ""), "pages": pages,
            "parts": shelf.PARTS, "body": mark_safe(leaf.document.html),  # noqa: S308 - the renderer escapes the text
            "before": pages[at - 1] if at > 0 else None, "after": pages[at + 1] if 0 <= at < len(pages) - 1 else None,
            **more,
        }  # fmt: skip
        return self.show("docs/page.html", context)


class Part(Docs):
    """The first page of a part; that of the guide is where the documentation begins."""

    def get(self, request: HttpRequest, part: str = LANDING) -> HttpResponse:
        """Show the part's index."""
        known = shelf.leaf(f"docs/{part}/index.md") if part in shelf.PARTS else None
        return self.show_leaf(known, part, is_index=True)


class Chapter(Docs):
    """One page of a part, or of a folder in it."""

    def get(self, request: HttpRequest, part: str, name: str, folder: str = "") -> HttpResponse:
        """Show the page. Its names are slugs, which can lead nowhere else."""
        file = "/".join(["docs", part, *([folder] if folder else []), f"{name}.md"])
        known = shelf.leaf(file) if part in shelf.PARTS and name != "index" else None
        return self.show_leaf(known, part, folder=folder)


class Source(Docs):
    """A file of the repository that the documentation names: Markdown as a page, all else as it stands."""

    def get(self, request: HttpRequest, file: str) -> HttpResponse:
        """Show the file if it is on the closed list."""
        text = shelf.source(file)
        if text is None:
            raise NotVisible(f"There is no file {file} among those that the documentation shows.")
        if file.endswith(".md"):
            return self.show_leaf(shelf.leaf(file), source=file)
        return self.show("docs/source.html", {"file": file, "text": text, "lines": text.count("\n")})


class Search(Docs):
    """Which sections of the documentation have all the words that are looked for."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show what was found."""
        asked = request.GET.get("q", "")[: shelf.MOST_ASKED].strip()
        found = shelf.search(asked)
        return self.show("docs/search.html", {"asked": asked, "found": found, "most": shelf.MOST_FOUND})


urlpatterns = [
    path("", Part.as_view(), name="docs"),
    path("search/", Search.as_view(), name="docs-search"),
    path("source/<path:file>/", Source.as_view(), name="docs-source"),
    path("<slug:part>/", Part.as_view(), name="docs-part"),
    path("develop/<slug:folder>/<slug:name>/", Chapter.as_view(), {"part": "develop"}, name="docs-folder-page"),
    path("<slug:part>/<slug:name>/", Chapter.as_view(), name="docs-page"),
]
