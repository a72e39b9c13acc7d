"""The pages on how to add something show the code that was written by them, and lead to files that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from markdown_it import MarkdownIt

from approvals.checks import CHECKS
from campaigns.completion import CRITERIA
from campaigns.splitting import KINDS, parse
from integrations import registry
from integrations.probes.kinds import BY_HAND, PROBES
from tests.contracts.test_docs import page, section, table

HOME = Path(settings.BASE_DIR)
PAGES = sorted((HOME / "docs/develop/how-to").glob("*.md"))
WRITTEN = sorted(path for path in (HOME / "tests/how_to").glob("*.py") if path.name != "conftest.py")
pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the blocks of Python of a page: the file that each says that it is of, and the block."""
    fences = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    return [(fence.info.partition(" ")[2], fence.content) for fence in fences if fence.info.startswith("python")]


def adrift(text: str) -> list[str]:
    """Return a sentence for each block of Python that does not stand so, line for line, in the file that it names."""
    wrong = []
    for name, block in blocks(text):
        first = block.partition("\n")[0]
        if not (HOME / name).is_file():
            wrong.append(f"{first}: names no file")
        elif f"\n{block}" not in f"\n{(HOME / name).read_text()}":
            wrong.append(f"{first}: does not stand so in {name}")
    return wrong


def missing(text: str) -> list[str]:
    """Return the paths in backquotes that lead to no file, but for those of what is yet to be written."""
    named = re.findall(r"`((?:[\w-]+/)+[\w-]*(?:\.\w+)?)`", text)
    to_be = {"integrations/catalogue/json.py", "integrations/batch/shell.py"}
    return [name for name in named if name not in to_be and not (HOME / name).exists()]


def test_there_is_a_page_for_each_thing_that_is_added_often():
    assert [path.stem for path in PAGES] == [f"add-a-{what}" for what in (
        "batch-system", "catalogue", "check", "notice", "split",
    )]  # fmt: skip


@pages
def test_the_code_of_a_page_is_the_code_that_runs(path):
    text = path.read_text(encoding="utf-8")
    assert blocks(text)
    assert adrift(text) == []


@pages
def test_every_file_that_a_page_names_is_there(path):
    assert missing(path.read_text(encoding="utf-8")) == []


def test_all_that_was_written_is_on_a_page():
    shown = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [path.name for path in WRITTEN if f"tests/how_to/{path.name}" not in shown] == []


def test_code_that_drifted_and_files_that_are_gone_are_found():
    text = PAGES[0].read_text(encoding="utf-8")
    name, block = blocks(text)[0]
    assert adrift(text.replace(block, block.replace("spool", "pool"))) == [f'{block.partition(chr(10))[0]}: does not stand so in {name}']  # fmt: skip
    assert len(adrift(text.replace("```python tests/how_to/", "```python tests/nowhere/"))) == len(blocks(text))
    assert len(adrift("# A\n\n```python\nx = 1\n```\n")) == 1
    assert missing("see `integrations/batch/nothing.py` and `tests/how_to/`") == ["integrations/batch/nothing.py"]


# --- The tables in which whoever adds one writes it down ------------------------------------------------------------


def test_every_split_is_written():
    rows = table(section(page("docs/guide/definition.md"), "### Splits"))
    written = {parse(text).kind for cell in rows if cell != "split" for text in cell.split(", ")}
    assert written == set(KINDS)


def test_every_check_of_a_request_is_written():
    rows = table(section(page("docs/guide/requests.md"), "## Checking"))
    assert list(rows)[1:] == list(dict.fromkeys(check.name for check in CHECKS))


def test_every_criterion_of_completion_is_written():
    rows = table(section(page("docs/guide/campaigns.md"), "## Completion"))
    written = {re.sub(r"\(.*?\)", "", text) for cell in rows if cell != "criterion" for text in cell.split(", ")}
    assert written == set(CRITERIA)


def test_every_kind_of_service_is_written_with_its_settings():
    rows = table(section(page("docs/operate/services.md"), "## Kinds"))
    rows.pop("kind")
    assert set(rows) == {*PROBES, BY_HAND}
    for kind, (_, settings_, _) in PROBES.items():
        assert re.findall(r"`(\w+)`", rows[kind][0]) == [setting.name for setting in settings_], kind


def test_every_kind_of_catalogue_and_batch_system_is_written():
    assert set(table(page("docs/operate/catalogues.md").partition("\nThe same can")[0])) == {
        "system",
        *registry.CATALOGUES,
    }
    text = page("docs/operate/launch-hosts.md")
    assert [key for key in registry.BACKENDS if f"`{key}`" not in text] == []
