"""The documentation as it is served: every page, every link and anchor in it, the closed list of sources, the search."""

from __future__ import annotations

import os
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import get_resolver

from approvals.states import REQUEST
from campaigns.keepup import OUTCOMES
from campaigns.keepup.objective import WORDS
from campaigns.queries import CONDITIONS
from campaigns.states import CAMPAIGN
from poms_site.markdown import address, render, served_at
from poms_site.overview.calendar import COMING, DUE
from poms_site.overview.words import LOOKS
from poms_site.web import shelf
from poms_site.web.page import Page
from submissions.states import BATCH, COMMAND, JOB, REPRODUCTION, SUBMISSION

HOME = Path(settings.BASE_DIR)
FILES = sorted(path.relative_to(HOME).as_posix() for path in (HOME / "docs").rglob("*.md"))
ADDRESSES = ["/docs/", *map(served_at, [*FILES, *sorted(shelf.SOURCES)])]
UNKNOWN = [
    "/docs/nothing/", "/docs/guide/nothing/", "/docs/guide/index/", "/docs/decisions/0001-postgresql-only/",
    "/docs/develop/decisions/", "/docs/develop/decisions/nothing/", "/docs/develop/guide/words/", "/docs/guide/words.md/",
    "/docs/source/poms_site/settings.py/", "/docs/source/docs/guide/words.md/", "/docs/source/nothing.md/",
    "/docs/source/examples/dimuon/", "/docs/source/.git/config/", "/docs/source//etc/passwd/",
    "/docs/source/../poms_site/settings.py/", "/docs/source/%2e%2e/poms_site/settings.py/",
    "/docs/source/examples/../poms_site/settings.py/", "/docs/source/examples/%2e%2e%2fREADME.md/",
    "/docs/source/examples/dimuon/..%5c..%5cREADME.md/", "/docs/guide/%2e%2e/operate/index/", "/docs/..%2fREADME/",
]  # fmt: skip


class Served(HTMLParser):
    """What a served page has: ids, links, pictures and files, styles in the text, and the words of its main part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.files: list[str] = []
        self.inline: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append((found["href"], found.get("rel", "")))
        elif tag in ("img", "script") or (tag == "link" and found.get("rel") in ("stylesheet", "icon")):
            self.files.append(found.get("src") or found["href"])
        if tag == "style" or (tag == "script" and "src" not in found) or "style" in found:
            self.inline.append(tag)
        self.inline += [name for name in found if name.startswith("on")]


def body(html: str, page: str = "docs/guide/a.md") -> str:
    return render(html, page).html


# --- Markdown -----------------------------------------------------------------------------------------------------


def test_headings_get_the_anchors_of_the_forges_and_repeated_ones_a_number():
    document = render(
        "# The `poms` command\n\n## A, b & c!\n\n### Twice\n\n### Twice\n\n#### Deep\n", "docs/guide/a.md"
    )
    assert (document.title.text, document.title.anchor) == ("The poms command", "the-poms-command")
    assert [(h.level, h.text, h.anchor) for h in document.headings] == [
        (2, "A, b & c!", "a-b--c"), (3, "Twice", "twice"), (3, "Twice", "twice-1"),
    ]  # fmt: skip
    assert "<h1" not in document.html
    assert '<h2 id="a-b--c">A, b &amp; c!</h2><a class="anchor" href="#a-b--c"' in document.html
    assert 'aria-label="Link to “A, b &amp; c!”"' in document.html


def test_a_page_without_a_title_has_the_name_of_its_file():
    assert render("words\n", "docs/guide/a.md").title.text == "a.md"
    assert '<h2 id="x">' in body("## X\n")


@pytest.mark.parametrize(
    ("link", "page", "leads_to"),
    [
        ("requests.md#x", "docs/guide/index.md", "/docs/guide/requests/#x"),
        ("../api/index.md", "docs/guide/index.md", "/docs/api/"),
        ("../api/index.md#verbs", "docs/guide/pages.md", "/docs/api/#verbs"),
        ("index.md", "docs/guide/pages.md", "/docs/guide/"),
        ("../testing.md", "docs/develop/decisions/0001-a.md", "/docs/develop/testing/"),
        ("decisions/0001-a.md", "docs/develop/index.md", "/docs/develop/decisions/0001-a/"),
        ("../../examples/dimuon/dimuon.ini", "docs/guide/a.md", "/docs/source/examples/dimuon/dimuon.ini/"),
        ("../../CONTRIBUTING.md#tests", "docs/develop/index.md", "/docs/source/CONTRIBUTING.md/#tests"),
        ("docs/guide/index.md", "README.md", "/docs/guide/"),
        ("dimuon.ini", "examples/dimuon/README.md", "/docs/source/examples/dimuon/dimuon.ini/"),
        ("#here", "docs/guide/a.md", "#here"),
        ("https://example.org/a.md#b", "docs/guide/a.md", "https://example.org/a.md#b"),
        ("mailto:a@example.org", "docs/guide/a.md", "mailto:a@example.org"),
        ("/api/v1/schema/", "docs/guide/a.md", "/api/v1/schema/"),
    ],
)
def test_a_link_leads_to_where_its_file_is_served(link, page, leads_to):
    assert address(link, page) == leads_to


def test_only_links_to_elsewhere_carry_noopener():
    html = body("[a](https://example.org/x) [b](requests.md)\n")
    assert html == (
        '<p><a href="https://example.org/x" rel="noopener">a</a> <a href="/docs/guide/requests/">b</a></p>\n'
    )


def test_markup_of_html_is_shown_and_no_link_runs_a_script():
    html = body(
        "# A\n\n## <b>x</b>\n\n<script>alert(1)</script>\n\n[a](javascript:alert(1)) `<i>`\n\n```\n</code><s>\n```\n"
    )
    tags = Served(html).tags
    assert not {"b", "script", "i", "s"} & set(tags)
    assert "&lt;script&gt;" in html and "&lt;/code&gt;&lt;s&gt;" in html
    assert 'href="javascript' not in html


def test_a_table_scrolls_by_itself_has_a_name_of_its_own_and_no_style():
    one = "| a | b |\n|---|--:|\n| 1 | 2 |\n\n"
    html = body(f"# T\n\n{one}{one}## S & t\n\n{one}")
    for label in ("Table of “T”", "Table 2 of “T”", "Table of “S &amp; t”"):
        assert f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>' in html
    assert '<td class="right">2</td>' in html and '<th scope="col">a</th>' in html
    assert "style=" not in html


def test_code_says_its_language():
    assert '<pre class="code" tabindex="0"><code class="language-sh">ls\n</code></pre>' in body("```sh\nls\n```\n")
    assert '<code class="language-text">' in body("    ls\n") and '<code class="language-text">' in body(
        "```\nx\n```\n"
    )


# --- Pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ADDRESSES)
def test_every_page_can_be_read_by_everybody_and_needs_no_database(at):
    answer = Client().get(at)
    assert answer.status_code == 200, at
    page = Served(answer.content.decode())
    assert page.tags.count("h1") == 1
    assert page.inline == [], "the content security policy forbids scripts and styles in the text"
    assert sorted({name for name in page.ids if page.ids.count(name) > 1}) == []


def test_a_signed_in_person_reads_it_in_the_frame(cast, client):
    client.force_login(cast.experimenter)
    answer = client.get("/docs/guide/words/")
    assert answer.status_code == 200
    assert b'aria-label="Main"' in answer.content


def broken_links(client: Client, begin: list[str]) -> list[str]:
    """Follow all links from page to page; return a sentence for each that leads nowhere or is of no known kind."""
    seen: dict[str, Served | None] = {}
    waiting, asked, wrong = list(begin), set(), []
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        answer = client.get(at)
        seen[at] = page = Served(answer.content.decode()) if answer.status_code == 200 else None
        if page is None:
            continue
        wrong += [f"{at}: there is no file {file}" for file in page.files if not is_static(file)]
        for link, rel in page.links:
            parts = urlsplit(link)
            target = parts.path or urlsplit(at).path
            if parts.scheme in ("http", "https"):
                wrong += [] if "noopener" in rel else [f"{at}: {link} lacks noopener"]
            elif parts.scheme or parts.netloc:
                wrong.append(f"{at}: nobody knows what {link} is")
            elif target.startswith("/docs/"):
                asked.add((at, target, unquote(parts.fragment)))
                waiting.append(target)
            elif client.get(link).status_code not in (200, 302):
                wrong.append(f"{at}: {link} leads nowhere")
    for at, target, anchor in asked:
        if (page := seen[target]) is None:
            wrong.append(f"{at}: {target} leads nowhere")
        elif anchor and anchor not in page.ids:
            wrong.append(f"{at}: {target} has no #{anchor}")
    return sorted(wrong)


def test_every_link_of_every_page_leads_somewhere(db):
    assert broken_links(Client(), [*ADDRESSES, "/docs/search/?q=campaign"]) == []


def test_broken_links_are_found(db, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "HOME", tmp_path)
    page = tmp_path / "docs" / "guide" / "index.md"
    page.parent.mkdir(parents=True)
    page.write_text("# A\n\n[a](no.md) [b](#no) [c](#a) [d](../../LICENSE) [e](/no/) [f](ftp://x.org/) ![g](no.png)\n")
    wrong = [line for line in broken_links(Client(), ["/docs/guide/"]) if line.startswith("/docs/guide/: ")]
    assert [line.removeprefix("/docs/guide/: ") for line in wrong if "/docs/operate" not in line] == [
        "/docs/api/ leads nowhere", "/docs/develop/ leads nowhere", "/docs/guide/ has no #no",
        "/docs/guide/no/ leads nowhere", "/docs/source/LICENSE/ leads nowhere", "/no/ leads nowhere",
        "nobody knows what ftp://x.org/ is", "there is no file /docs/guide/no.png/",
    ]  # fmt: skip


def is_static(address: str) -> bool:
    return address.startswith("/static/") and finders.find(address.removeprefix("/static/")) is not None


def test_what_is_beside_a_page_is_its_part_in_the_order_of_the_index():
    pages = [leaf.path for leaf in shelf.part_pages("guide")]
    assert pages[:2] == ["docs/guide/index.md", "docs/guide/first-campaign.md"]
    assert sorted(pages) == [path for path in FILES if path.startswith("docs/guide/")]
    assert shelf.part_pages("nothing") == []
    assert {path for part in shelf.PARTS for path in (leaf.path for leaf in shelf.part_pages(part))} == set(FILES)


def test_a_page_that_was_written_anew_is_shown_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "HOME", tmp_path)
    page = tmp_path / "docs" / "guide" / "index.md"
    page.parent.mkdir(parents=True)
    page.write_text("# One\n")
    assert shelf.leaf("docs/guide/index.md").document.title.text == "One"
    first = shelf.leaf("docs/guide/index.md").document
    assert shelf.leaf("docs/guide/index.md").document is first, "rendered once"
    page.write_text("# Two\n")
    os.utime(page, ns=(1, 1))
    assert shelf.leaf("docs/guide/index.md").document.title.text == "Two"


# --- What is shown, and what not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", UNKNOWN)
def test_what_is_no_page_is_not_found(at):
    answer = Client().get(at)
    assert answer.status_code == 404, at
    assert b"SECRET_KEY" not in answer.content


def test_nothing_leads_out_of_the_clone():
    for path in ("../outside.md", "/etc/hostname", "docs/../../outside.md"):
        assert shelf.leaf(path) is None and shelf.source(path) is None


def test_the_list_of_sources_is_that_of_git():
    """Every file of the examples may be read, and each on the list is one that git knows."""
    known = subprocess.run(["git", "ls-files"], cwd=HOME, capture_output=True, text=True, check=False).stdout.split()
    if not known:
        known = [path for path in shelf.SOURCES if (HOME / path).is_file()]  # an unpacked release has no git
    assert set(shelf.SOURCES) <= set(known)
    assert {
        path for path in known if path.startswith("examples/") or ("/" not in path and path.endswith(".md"))
    } <= set(shelf.SOURCES)


def test_a_source_is_shown_as_text():
    answer = Client().get("/docs/source/examples/dimuon/gen.py/").content.decode()
    shown = answer.partition('<pre class="code" tabindex="0"><code>')[2].partition("</code>")[0]
    assert unescape(shown) == (HOME / "examples" / "dimuon" / "gen.py").read_text()


def test_pages_are_only_read():
    for at in ("/docs/", "/docs/guide/words/", "/docs/search/", "/docs/source/README.md/"):
        assert Client().post(at).status_code in (403, 405)


# --- Search -------------------------------------------------------------------------------------------------------


def test_the_search_finds_sections_that_have_all_words():
    found = shelf.search("Heat STRIP")
    assert found
    for hit in found:
        text = f"{hit.leaf.document.title.text} {hit.heading.text} {hit.leaf.document.sections}".casefold()
        assert "heat" in text and "strip" in text
    assert len(shelf.search("the")) == shelf.MOST_FOUND
    assert shelf.search("heat xyzzy") == shelf.search("") == shelf.search("   ") == []


def test_a_heading_that_has_the_words_comes_first():
    first = shelf.search("unsure launches")[0]
    assert (first.leaf.path, first.heading.text) == ("docs/operate/running.md", "Unsure launches")
    assert first.address == "/docs/operate/running/#unsure-launches"


def test_an_excerpt_marks_what_was_looked_for():
    for hit in shelf.search("black box") + shelf.search("seed"):
        assert all(text.casefold() in ("black", "box", "seed") for text, is_hit in hit.excerpt if is_hit)
        assert len("".join(text for text, _ in hit.excerpt)) < 220


def test_the_page_of_the_search_escapes_what_was_typed():
    answer = Client().get("/docs/search/", {"q": '"><script>alert(1)</script>'})
    assert answer.status_code == 200
    html = answer.content.decode()
    assert "<script>alert" not in html and "&lt;script&gt;" in html
    assert "No section has all of these words" in html
    found = Client().get("/docs/search/", {"q": "idle <"}).content.decode()
    assert "<mark>&lt;</mark>" in found or "No section has" in found
    assert Client().get("/docs/search/", {"q": "x" * 5000}).status_code == 200
    assert "<mark>seed</mark>" in Client().get("/docs/search/", {"q": "seed"}).content.decode()


# --- What is built is what is written -------------------------------------------------------------------------------


def test_every_state_is_in_the_table_of_marks():
    text = (HOME / "docs" / "guide" / "words.md").read_text().partition("## Marks")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    written = {state.strip("` "): meaning for meaning, _, _, states in rows[2:] for state in states.split(",")}
    used = {state for table in (REQUEST, CAMPAIGN, BATCH, SUBMISSION, JOB, COMMAND) for state in table.states}
    used |= {*OUTCOMES, *WORDS, *CONDITIONS, DUE, COMING}  # of schedules
    used |= {state for state in REPRODUCTION.states if state != "failed"} | {"good", "remarks", "bad"}  # of results
    assert written == {state: LOOKS[state].meaning for state in used}


def test_the_help_of_every_page_leads_to_its_section():
    def kinds(kind):
        return [kind, *(below for direct in kind.__subclasses__() for below in kinds(direct))]

    assert get_resolver().url_patterns  # the addresses are read, and with them every page
    known = {f"{served_at(path)}#{anchor}" for path in FILES for anchor in anchors(path)} | set(ADDRESSES)
    assert {kind.help for kind in kinds(Page)} - known == set()


def anchors(path: str) -> list[str]:
    return [section.heading.anchor for section in shelf.leaf(path).document.sections]
