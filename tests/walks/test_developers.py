"""What the pages for developers name is there: files, modules and what is in them, verbs of the Makefile, code of tests."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from markdown_it import MarkdownIt

from tests.walks import shell
from tests.walks.pages import HOME, inline, text_of

PAGES = ["README.md", "CONTRIBUTING.md", "THREAT_MODEL.md",
         *sorted(path.relative_to(HOME).as_posix() for path in (HOME / "docs/develop").rglob("*.md"))]  # fmt: skip
TOPS = {path.name for path in HOME.iterdir() if path.is_dir() and path.name[0] != "."}
PACKAGES = ("core", "experiments", "integrations", "campaigns", "submissions", "approvals", "poms_site", "poms_client")
# Of what is yet to be written by whoever follows the page.
TO_BE = {"integrations/catalogue/json.py", "integrations/batch/shell.py"}
pages = pytest.mark.parametrize("page", PAGES)


def missing_files(names: list[str]) -> list[str]:
    """Return the paths below a folder of the repository that lead to no file; `a/{b,c}.py` stands for two."""
    found = []
    for name in names:
        if not re.fullmatch(r"[\w.-]+/[\w./*{},-]*", name) or name.partition("/")[0] not in TOPS or name in TO_BE:
            continue
        if several := re.fullmatch(r"(.*)\{(.*)\}(.*)", name):
            paths = [f"{several[1]}{part}{several[3]}" for part in several[2].split(",")]
        else:
            paths = [name]
        found += [path for path in paths if not list(HOME.glob(path.rstrip("/")))]
    return found


def missing_names(names: list[str]) -> list[str]:
    """Return the dotted names below one of our packages that nothing has."""
    return [name for name in names
            if re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+(\(\))?", name) and not is_there(name.removesuffix("()"))]  # fmt: skip


def is_there(name: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return part in getattr(found, "__annotations__", {})
            found = getattr(found, part)
        return True
    return False


@pages
def test_every_file_and_module_that_a_page_names_is_there(page):
    named = list(inline(page))
    assert missing_files(named) == []
    assert missing_names(named) == []


@pages
def test_every_verb_that_a_page_names_is_one(page):
    typed = [command for code in inline(page) if re.match(r"make [a-z]", code) for command in shell.commands(code)]
    typed += [command for token in MarkdownIt().parse(text_of(page)) if token.type == "fence" and token.info == "sh"
              for command in shell.commands(token.content)]  # fmt: skip
    assert [said for command in typed for said in shell.wrong_with(command)] == []


def test_the_example_of_a_test_is_one():
    (block,) = [
        token.content for token in MarkdownIt().parse(text_of("docs/develop/testing.md")) if token.info == "python"
    ]
    assert any(block in path.read_text() for path in (HOME / "tests/approvals").glob("*.py"))


def test_what_is_not_there_is_found():
    assert missing_files(["core/nothing.py", "docs/develop", "tests/how_to/", "/etc/x", "integrations/{process,nothing}.py"]) == [
        "core/nothing.py", "integrations/nothing.py",
    ]  # fmt: skip
    assert missing_names(["core.states.Nothing", "core.nothing", "core.transitions.move()", "core.loops", "demo/c1"]) == [
        "core.states.Nothing", "core.nothing",
    ]  # fmt: skip
