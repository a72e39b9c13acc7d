"""Every command of the guide and of operating is one that its program takes: noun, verb, arguments, options, names."""

from __future__ import annotations

import re
from functools import cache

import pytest
from django.urls import get_resolver

from tests.walks import shell
from tests.walks.pages import ALL, PAGES, Block, blocks, inline

SHELL = [block for block in ALL if block.language in ("sh", "console")]
# What is only whole where it is run: a function of the shell.
RUN = {"token() {": "tests/walks/test_first_campaign.py runs it"}
COMPLETION = ("--install-completion", "--show-completion")  # typer adds them to whatever is called
pages = pytest.mark.parametrize("page", PAGES)


def wrong(block: Block) -> list[str]:
    """Return what is wrong with the commands of a block; what it shows of an answer is passed over."""
    return [said for command in shell.commands(shell.typed(block)) for said in shell.wrong_with(command)]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_of_a_block_is_one_that_its_program_takes(block):
    if any(block.first.startswith(begin) for begin in RUN):
        pytest.skip("a function of the shell: " + RUN["token() {"])
    assert wrong(block) == []


@pages
def test_every_command_in_a_sentence_is_one_that_there_is(page):
    said = []
    for code in inline(page):
        if re.match(r"poms [a-z-]+", code) and "|" not in code and "NOUN" not in code:
            said += in_a_sentence(code)
        elif found := re.match(r"(?:\.venv/bin/python )?manage\.py ([a-z_-]+)", code):
            said += [] if found[1] in shell.get_commands() else [f"manage.py has no {found[1]}"]
        elif code.startswith("make "):
            said += shell.wrong_with(code.split())
    assert said == []


def in_a_sentence(code: str) -> list[str]:
    """Return what a command in a sentence names that there is not: a noun, a verb or an option; it need not be whole."""
    words = re.split(r"[\s=]+", code)[1:]
    if words[0] in COMPLETION:
        return []
    command, context = shell.root, None
    for n, word in enumerate(words):
        if not hasattr(command, "get_command"):
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            return [
                f"{code}: there is no {option}"
                for option in words[n:]
                if re.match(r"--?[a-z]", option) and option not in known
            ]
        context = command.context_class(command, info_name=command.name, parent=context)
        found = command.get_command(context, word)
        if found is None:
            return [] if not re.fullmatch(r"[a-z-]+", word) else [f"{code}: there is no {word}"]
        command = found
    return []


@cache
def code() -> str:
    """Return all that reads or sets a name of the environment: our code, the client, the examples, what is deployed."""
    apps = (
        "core",
        "experiments",
        "integrations",
        "campaigns",
        "submissions",
        "approvals",
        "poms_site",
        "client",
        "examples",
        "deploy",
    )
    files = (path for app in apps for path in (shell.HOME / app).rglob("*") if path.is_file())
    kinds = {".py", ".service", ".conf", ".example", ".yaml"}
    scripts = (shell.HOME / "examples" / name for name in ("dimuon/dimuon_submit", "keepup/keepup_submit"))
    return "".join(
        path.read_text() for path in (*files, *scripts) if path.suffix in kinds or path.name.endswith("_submit")
    )


@pages
def test_every_setting_that_is_named_is_read(page):
    """Names of the environment: our settings, the client's, and those that scripts and jobs find."""
    named = {name for text in (*inline(page), *(block.text for block in blocks(page)))
             for name in re.findall(r"\b(?:POMS4?|DATABASE)_[A-Z][A-Z0-9_]*[A-Z0-9]\b", text)}  # fmt: skip
    assert [name for name in sorted(named) if name not in code() and not shell.is_read(name)] == []


@pages
def test_every_address_that_is_named_is_served(page):
    tops = {str(pattern.pattern).partition("/")[0] for pattern in get_resolver().url_patterns}
    said = []
    for code in inline(page):
        if re.fullmatch(r"/[\w<>/…-]+/", code) and code.split("/")[1] in tops - {""}:
            path = re.sub(r"<[\w ]+>|…", "demo", code)
            if (
                path != "/api/v1/"
                and shell.wrong_address(path)
                and shell.wrong_address(path.replace("/demo/", "/c1/").replace("/c1/", "/demo/", 1))
            ):
                said.append(code)
    assert said == []


def test_the_list_of_programs_that_are_not_run_is_short_and_true():
    called = set().union(*(shell.programs_of(shell.typed(block)) for block in SHELL))
    assert set(shell.ELSEWHERE) - called == set()


def test_wrong_commands_are_found():
    def of(text: str) -> list[str]:
        return wrong(Block("x.md", 1, "sh", text))

    assert of('poms batch relaunch demo/b12 --reason "the disk is back"   # one\n') == []
    assert "No such option" in of("poms batch relaunch demo/b12 --because x\n")[0]
    assert "Missing" in of("poms batch relaunch\n")[0]
    assert "There is no 'batches'" in of("poms batches list\n")[0]
    assert of("poms job list --quiet -e demo | xargs -r -n1 poms job lgo\n")
    assert "frobnicate" in of(".venv/bin/python manage.py frobnicate\n")[0]
    assert of(".venv/bin/python manage.py retain --wet-run\n")
    assert of("make nothing\n") == ["make has no nothing"]
    assert of("export POMS_NOTHING=1\n") == ["nobody reads POMS_NOTHING"]
    assert of('curl "$POMS_URL/api/v1/nothing/"\n') and of('curl -X DELETE "$POMS_URL/api/v1/campaigns/demo/c1/"\n')
    assert of("systemctl restart poms-nothing\n") == ["there is no unit poms-nothing.service"]
    assert of("cp deploy/nothing.example deploy/x\n") == ["there is no deploy/nothing.example"]
    assert "nobody knows how to walk rsync" in of("rsync a b\n")[0]
    assert of("$ poms why demo/s12\nan answer\n$ poms why\n") and not of("$ poms why demo/s12\nan answer\n")
    assert in_a_sentence("poms hold frobnicate") and in_a_sentence("poms hold list --frobnicate")
    assert not in_a_sentence("poms hold list -e demo") and not in_a_sentence("poms hold")
