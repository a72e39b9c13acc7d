"""Every block of code of the guide and of operating is walked: run, or read by the code that reads it in earnest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integrations.batch import declared
from integrations.catalogue import metacat, rucio, sam
from tests.contracts.test_docs import cells
from tests.walks import texts
from tests.walks.pages import ALL, HOME, PAGES, Block, blocks, inline, text_of

TYPED = ("sh", "console")  # tests/walks/test_commands.py
RUN = ("python", "sql")  # tests/walks/test_pieces.py
READ = [block for block in ALL if block.language not in (*TYPED, *RUN) and not texts.is_shown(block)]
# Pages without any code: what holds them.
HELD = {
    "docs/guide/accessibility.md": "tests/e2e/test_pages.py looks at every page with axe",
    "docs/guide/index.md": "tests/contracts/test_docs.py follows its links",
    "docs/operate/index.md": "the same",
    "docs/operate/jobsub.md": "tests/walks/test_blocks.py has its table of settings",
    "docs/guide/words.md": "tests/web/test_docs_pages.py has its table of marks",
}


def unwalked(found: list[Block]) -> list[str]:
    """Return the blocks that nobody walks, and that nobody has said to be only shown."""
    return [str(block) for block in found
            if block.language not in (*TYPED, *RUN) and texts.reader(block) is None and not texts.is_shown(block)]  # fmt: skip


@pytest.mark.parametrize("block", READ, ids=str)
def test_a_block_is_read_by_what_reads_it_in_earnest(block):
    read = texts.reader(block)
    assert read is not None, (
        "nobody walks it: give it a language, a reader in texts.READ, or say in texts.SHOWN why not"
    )
    read(block)


def test_every_block_is_walked():
    assert unwalked(ALL) == []


def test_what_is_only_shown_is_a_short_list_that_is_true():
    assert len(texts.SHOWN) <= 15
    kept = {(page, begin) for page, begin in (*texts.SHOWN, *texts.READ)
            if any(block.page == page and block.first.startswith(begin) for block in ALL)}  # fmt: skip
    assert kept == {*texts.SHOWN, *texts.READ}


def test_every_page_has_something_that_is_walked():
    bare = [
        page
        for page in PAGES
        if not blocks(page) and not any(re.match(r"poms |manage\.py|POMS_|/\w", code) for code in inline(page))
    ]
    assert [page for page in bare if page not in HELD] == []
    assert all((HOME / why.partition(" ")[0]).exists() for why in HELD.values() if why != "the same")


def test_blocks_that_nobody_walks_and_texts_that_nobody_reads_are_found():
    page = "docs/guide/words.md"
    assert unwalked(blocks(page, "# A\n\n```toml\na = 1\n```\n\n    indented\n")) == [
        f"{page}:3 a = 1",
        f"{page}:7 indented",
    ]
    assert unwalked(blocks(page, "# A\n\n```sh\nls\n```\n")) == []
    for language, text in (("ini", "cs_split_type=nfiles(0)\n"), ("ini", "nothing=1\n")):
        with pytest.raises(AssertionError):
            texts.definition_text(Block(page, 1, language, text))
    with pytest.raises(AssertionError):
        texts.of_alerts(Block(page, 1, "yaml", "groups: [{rules: [{expr: poms_nothing > 1}]}]"))


# --- Tables of settings ---------------------------------------------------------------------------------------------


def written(page: str, heading: str = "") -> set[str]:
    """Return the settings of the first table below a heading that begins with them."""
    text = text_of(page).partition(heading)[2] if heading else text_of(page)
    lines = text[text.index("| setting") :].partition("\n\n")[0].splitlines()[2:]
    return {name for line in lines for name in re.findall(r"`(\w+)`", cells(line)[0])}


@pytest.mark.parametrize(
    ("page", "heading", "known"),
    [
        ("docs/operate/batch-htcondor.md", "", declared.SETTINGS["htcondor"]),
        ("docs/operate/batch-slurm.md", "", declared.SETTINGS["slurm"]),
        ("docs/operate/jobsub.md", "", declared.SETTINGS["jobsub"]),
        ("docs/operate/catalogues.md", "## SAM", sam.SamCatalogue.SETTINGS),
        ("docs/operate/catalogues-metacat-rucio.md", "## MetaCat", metacat.SETTINGS),
        ("docs/operate/catalogues-metacat-rucio.md", "## Rucio", rucio.SETTINGS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_setting_of_an_outside_system_is_written_and_can_be_set(page, heading, known):
    monitor = {name for name in known if name.startswith("lens")}  # on a page of their own
    assert written(page, heading) == set(known) - monitor
    assert monitor <= set(re.findall(r"`(lens\w*)`", Path(HOME / "docs/operate/lens.md").read_text()))
