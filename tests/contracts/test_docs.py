"""The docs: every page renders, every link leads somewhere, and what is built is what is written."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from django.conf import settings
from django.urls import get_resolver
from markdown_it import MarkdownIt
from poms_client import commands
from poms_client.main import NOUNS
from typer.main import get_group

from approvals.states import REQUEST
from campaigns import definition
from campaigns.definition import values
from campaigns.states import CAMPAIGN
from core import loops
from experiments.roles import PERMISSIONS, ROLES
from experiments.rules import rule_of
from submissions.states import BATCH, COMMAND, JOB, SUBMISSION
from tests.contracts import checks

HOME = Path(settings.BASE_DIR)
ROOTS = ("README.md", "CONTRIBUTING.md", "THREAT_MODEL.md", "CHANGELOG.md")
PAGES = sorted([*(HOME / name for name in ROOTS), *(HOME / "docs").rglob("*.md"), *(HOME / "examples").rglob("*.md")])
MARKDOWN = MarkdownIt("commonmark").enable("table")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOME).as_posix())


def page(name: str) -> str:
    return (HOME / name).read_text(encoding="utf-8")


# --- Reading a page -----------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What is in a rendered page: headings with their anchors, links, pictures, and paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[tuple[int, str]] = []
        self.links: list[str] = []
        self.paragraphs: list[str] = []
        self._open = ""
        self._words = ""
        self.feed(MARKDOWN.render(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("a", "img"):
            self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if re.fullmatch(r"h[1-6]|p", tag):
            self._open, self._words = tag, ""

    def handle_data(self, data: str) -> None:
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        if tag and tag == self._open:
            if tag == "p":
                self.paragraphs.append(self._words)
            else:
                self.headings.append((int(tag[1]), self._words))
            self._open = ""

    @property
    def anchors(self) -> set[str]:
        """Return the anchor of each heading, as the forges make it; a repeated one gets a number."""
        found: dict[str, int] = {}
        names = []
        for _, words in self.headings:
            name = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            found[name] = found.get(name, -1) + 1
            names.append(f"{name}-{found[name]}" if found[name] else name)
        return set(names)


def broken_links(text: str, path: Path) -> list[str]:
    """Return a sentence for each relative link or anchor of a page at `path` that leads nowhere."""
    wrong = []
    for link in Seen(text).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if parts.path.startswith("/"):
            wrong.append(f"{link}: begins at the root of the site; write it relative to the page")
        elif not target.is_relative_to(HOME):
            wrong.append(f"{link}: leads out of the clone")
        elif target != path and not target.exists():
            wrong.append(f"{link}: there is no such file")
        elif parts.fragment:
            anchors = Seen(target.read_text(encoding="utf-8") if target != path else text).anchors
            if parts.fragment not in anchors:
                wrong.append(f"{link}: the page has no heading of this anchor")
    return wrong


def badly_rendered(text: str) -> list[str]:
    """Return a sentence for each thing that Markdown did not take as it was meant."""
    wrong = []
    seen = Seen(text)
    if [level for level, _ in seen.headings[:1]] != [1] or sum(level == 1 for level, _ in seen.headings) != 1:
        wrong.append("a page begins with its one title")
    wrong += [f"this is no table to Markdown: {p[:60]}" for p in seen.paragraphs if p.lstrip().startswith("|")]
    lines = text.splitlines()
    for token in MARKDOWN.parse(text):
        if token.type == "fence" and token.map and not lines[token.map[1] - 1].strip().startswith(token.markup):
            wrong.append(f"line {token.map[0] + 1}: this block of code is never closed")
        if token.type == "table_open" and token.map:
            rows = [len(cells(line)) for line in lines[token.map[0] : token.map[1]]]
            if len(set(rows)) != 1:
                wrong.append(f"line {token.map[0] + 1}: rows of this table have {sorted(set(rows))} cells")
    return wrong


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of the same level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    after = re.split(rf"(?m)^{re.escape(heading)}$", text)
    assert len(after) == 2, f"there is no heading {heading}"
    return re.split(rf"(?m)^#{{1,{level}}} ", after[1])[0]


def table(text: str) -> dict[str, list[str]]:
    """Return the rows of all tables of a text by their first cell, without its backquotes."""
    rows = [cells(line) for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return {row[0].replace("`", ""): row[1:] for row in rows}


# --- Pages --------------------------------------------------------------------------------------------------------


@pages
def test_a_page_renders(page):
    assert badly_rendered(page.read_text(encoding="utf-8")) == []


@pages
def test_every_link_of_a_page_leads_somewhere(page):
    assert broken_links(page.read_text(encoding="utf-8"), page) == []


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [HOME / "README.md"]
    while waiting:
        at = waiting.pop()
        if at in reached:
            continue
        reached.add(at)
        for link in Seen(at.read_text(encoding="utf-8")).links:
            target = (at.parent / unquote(urlsplit(link).path)).resolve()
            if not urlsplit(link).scheme and target.suffix == ".md" and target.is_file():
                waiting.append(target)
    missed = [p.relative_to(HOME).as_posix() for p in PAGES if p not in reached and p.is_relative_to(HOME / "docs")]
    assert missed == []


def test_broken_links_are_found():
    text = (
        "# Title\n\n[a](nowhere.md) [b](#nothing) [c](#title) [d](README.md#two-commands) [e](README.md#three)\n"
        "[f](/etc) [g](../outside.md) [h](https://example.org/x) ![i](no.png)\n"
    )
    wrong = broken_links(text, HOME / "page.md")
    assert [line.split(":")[0] for line in wrong] == ["nowhere.md", "#nothing", "README.md#three", "/etc",
                                                      "../outside.md", "no.png"]  # fmt: skip


def test_pages_that_do_not_render_are_found():
    assert badly_rendered("# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```\n") == []
    assert "one title" in badly_rendered("text\n\n# A\n\n# B\n")[0]
    assert "no table" in badly_rendered("# A\n\n| a | b |\n| 1 | 2 |\n")[0]
    assert "never closed" in badly_rendered("# A\n\n```sh\nls\n")[0]
    assert "[2, 3] cells" in badly_rendered("# A\n\n| a | b |\n|---|---|\n| 1 | 2 | 3 |\n")[0]


# --- What is built is what is written -------------------------------------------------------------------------------


def environment_of(module: Path) -> dict[str, Any]:
    """Return the variables that a settings module reads, each with its default (... where it is computed)."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(module.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "env"):
            continue
        name = ast.literal_eval(node.args[0])
        default = next((word.value for word in node.keywords if word.arg == "default"), None)
        computed = default is None or any(isinstance(leaf, ast.Name) for leaf in ast.walk(default))
        found[name] = ... if computed else eval(ast.unparse(default))
    return found


def test_every_setting_of_the_environment_is_written():
    read = environment_of(HOME / "poms_site" / "settings.py")
    written = table(section(page("docs/operate/installing.md"), "## Settings"))
    written.pop("variable")
    assert set(written) == set(read)
    for name, default in read.items():
        said = written[name][0]
        if isinstance(default, bool):
            assert said == ("on" if default else "off"), name
        elif isinstance(default, int | float | str) and default != "":
            assert f"`{default}`" == said, name
        elif isinstance(default, list):
            assert said == ", ".join(default), name


def test_every_variable_of_the_client_is_written():
    text = "\n".join(path.read_text() for path in (HOME / "client" / "poms_client").rglob("*.py"))
    read = set(re.findall(r'(?:environ\.get|seconds)\(\s*"([A-Z_]+)"', text))
    written = table(section(page("docs/guide/command-line.md"), "## Who you are and where"))
    assert {"POMS_URL", "POMS_TOKEN"} <= read <= set(written)


def test_every_key_of_a_definition_is_written():
    text = page("docs/guide/definition.md")
    stage = table(section(text, "## [campaign_stage …]").partition("\n### ")[0])
    stage.pop("key")
    assert set(stage) == set(values.STAGE)
    for key, (name, _) in values.STAGE.items():
        default = getattr(definition.StageText(name="x"), name, False)
        shown = {"": "none", (): "`[]`"}.get(default, f"`{default}`")
        if key not in ("events", "events_per_job"):  # 0 stands for none there
            assert stage[key][1].partition(", obligatory")[0] == shown, key
    for key in values.IGNORED:
        assert f"`{key}`" in section(text, "## [campaign_stage …]")
    for head, keys in (
        ("## [campaign]", values.CAMPAIGN),
        ("## [dependencies …]", tuple(f"{key}_1" for key in values.EDGE)),
        ("## [job_type …]", values.JOB_TYPE),
        ("## [login_setup …]", values.LOGIN_SETUP),
    ):
        assert set(table(section(text, head))) - {"key"} == set(keys), head


def test_the_example_of_a_definition_is_whole():
    example = section(page("docs/guide/definition.md"), "## An example").split("```ini\n")[1].partition("```")[0]
    parsed = definition.parse(example + "[login_setup local]\n")
    assert [(p.field, p.message) for p in (*parsed.errors, *parsed.warnings)] == []
    assert definition.check(parsed.definition) == []


def test_every_state_is_written():
    text = page("docs/guide/campaigns.md")
    for head, states in (("Campaign", CAMPAIGN), ("Batch", BATCH), ("Submission", SUBMISSION), ("Job", JOB)):
        assert set(table(section(text, f"### {head}"))) - {"state"} == set(states.states), head
    assert set(table(section(page("docs/guide/requests.md"), "## States"))) - {"state"} == set(REQUEST.states)
    assert all(f"`{state}`" in text for state in COMMAND.states)


def test_every_loop_is_written_with_its_period():
    written = table(section(page("docs/operate/running.md"), "## Loops"))
    written.pop("loop")
    assert {name: row[0] for name, row in written.items()} == {
        loop.name: f"{loop.period:g} s" for loop in loops.all_loops()
    }


def test_every_role_and_permission_is_written():
    rows = table(section(page("docs/operate/people.md"), "## A person and their roles"))
    for role, granted in ROLES.items():
        assert rows[role][0] == ", ".join(f"`{permission}`" for permission in granted)
    assert set(rows) - {"role", "permission"} == {*ROLES, *PERMISSIONS}


def routes_served() -> Iterator[tuple[str, str, str | None]]:
    """Yield method, route and rule of everything that the API serves, as the page writes them."""
    for address, pattern in checks.routes(get_resolver().url_patterns):
        callback: Any = pattern.callback
        if not address.startswith("api/v1/") or pattern.name == "nowhere":
            continue
        route = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", address.removeprefix("api/v1/")).replace("{pk}", "{id}")
        for method, action in checks.served(callback).items():
            yield method, route, rule_of(checks.view_class(callback), action)


def test_every_route_is_written_with_its_rule():
    lines = section(page("docs/api/index.md"), "## Routes").splitlines()
    rows = [cells(line) for line in lines if re.match(r"\| [A-Z]+ \|", line)]
    written = sorted((method, route.strip("`"), rule) for method, route, rule, _ in rows)
    assert written == sorted(routes_served())


def test_every_verb_of_the_command_is_written():
    rows = table(section(page("docs/guide/command-line.md"), "## Nouns and verbs"))
    rows.pop("noun")
    modules = SimpleNamespace(**{path.stem: path for path in Path(commands.__path__[0]).glob("*.py")})
    assert set(rows) == set(NOUNS)
    for noun, (module, name) in NOUNS.items():
        assert hasattr(modules, module)
        found = get_group(getattr(__import__(f"poms_client.commands.{module}", fromlist=[name]), name))
        assert set(re.findall(r"`([\w-]+)`", rows[noun][0])) == set(found.commands), noun


def test_every_dependency_has_its_reason():
    project = tomllib.loads(page("pyproject.toml"))["project"]
    rows = set(table(page("docs/develop/decisions/0002-dependencies.md")))
    text = page("docs/develop/decisions/0002-dependencies.md")

    def names(entries: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~! ]", entry)[0] for entry in entries}

    extras = project["optional-dependencies"]
    assert names(project["dependencies"]) | names(extras["cli"]) | names(extras["examples"]) == rows - {"library"}
    assert [name for name in sorted(names(extras["dev"])) if f"`{name}`" not in text] == []


def test_every_verb_of_the_makefile_is_written():
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", page("Makefile"))) - {"help"}
    written = {name.removeprefix("make ") for name in table(section(page("CONTRIBUTING.md"), "## Set-up"))}
    assert written - {"verb"} == targets


def test_every_crash_point_is_written():
    code = [path for app in (*checks.APPS, "poms_site") for path in (HOME / app).rglob("*.py")]
    named = {
        point
        for path in code
        for point in re.findall(r'(?:crashpoint|faults\.point)\(\s*"([a-z]+\.[a-z_]+)"', path.read_text())
    }
    text = section(page("docs/develop/testing.md"), "## Crash points")
    assert named == set(re.findall(r"`([a-z]+\.[a-z_]+)`", text)) - {"core.crashpoints"}
    protocol = page("docs/develop/launch-protocol.md")
    steps = {point for point in named if point.startswith(("launch.", "shim.", "submit."))}
    assert sorted(point for point in steps if f"`{point}`" not in protocol) == []


def test_the_changelog_names_the_version_of_the_project():
    assert tomllib.loads(page("pyproject.toml"))["project"]["version"] == settings.VERSION
