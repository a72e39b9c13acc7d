"""The pieces of Python and SQL of the guide and of operating are run, in their order, as `manage.py shell` and `psql` would."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from django.core.management.commands.shell import Command as Shell
from django.db import connection

from campaigns.models import Campaign
from experiments.logic import membership, tokens
from experiments.models import User
from integrations.catalogue.local import LocalCatalogue
from integrations.models import BatchSystem, CatalogueLink
from integrations.notices import webhook
from submissions import queries
from tests import builders
from tests.walks import shell
from tests.walks.pages import ALL, Block, blocks

pytestmark = pytest.mark.django_db
PYTHON = sorted({block.page for block in ALL if block.language == "python"})
SQL = [block for block in ALL if block.language == "sql"]


def run(page: str, known: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Run the pieces of a page one after the other with what people know by then; return what is known after.

    `at` is where the service is that the page calls https://poms.example.org.
    """
    for block in blocks(page):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                text = block.text.replace("https://poms.example.org", at) if at else block.text
                exec(compile(text, str(block), "exec"), known)
    return known


def of_a_shell(**more: Any) -> dict[str, Any]:
    """Return what `manage.py shell` knows without an import, and whom the page speaks of."""
    return {**Shell().get_namespace(verbosity=0), **more}


def test_every_page_with_python_is_run_here():
    assert PYTHON == [
        "docs/api/client.md",
        "docs/guide/notices.md",
        "docs/operate/catalogues.md",
        "docs/operate/people.md",
    ]


@pytest.mark.django_db(transaction=True)
def test_a_program_holds_what_runs_as_it_is_written(real_cast, live_server):
    campaign = builders.approved_campaign(real_cast)
    Campaign.objects.filter(pk=campaign.pk).update(**{"state": "running"})
    _, secret = tokens.issue(real_cast.operator, "program")
    run("docs/api/client.md", {"token": secret}, live_server.url)
    assert [hold.reason for hold in queries.standing_holds_on(campaign)] == ["the storage is full"]


def test_a_receiver_of_webhooks_checks_the_signature_as_it_is_written():
    signed = webhook.signature("secret", "1764576000", b"{}")
    known = {"secret": "secret", "timestamp": "1764576000", "body": b"{}", "signature": signed}
    run("docs/guide/notices.md", dict(known))
    with pytest.raises(AssertionError):
        run("docs/guide/notices.md", {**known, "body": b"[]"})


def test_a_catalogue_is_linked_and_the_local_one_asked_as_it_is_written(cast):
    admin = User.objects.create_user("admin")
    membership.join(admin, "administrator")
    before = LocalCatalogue(cast.experiment)
    before.declare([before_file("raw_0001.root")])
    run("docs/operate/catalogues.md", of_a_shell())
    assert CatalogueLink.objects.get(name="main").settings["group"] == "demo"
    assert before.residence(["raw_0001.root"]) == {"raw_0001.root": "tape"}


def before_file(name: str) -> Any:
    from integrations.catalogue.base import FileSeen

    return FileSeen(name, f"/data/{name}", 1)


def test_people_are_kept_as_it_is_written(db):
    bob, me = User.objects.create_user("bob"), User.objects.create_user("me")
    membership.join(me, "administrator")
    known = of_a_shell(bob=bob, me=me)
    whole = blocks("docs/operate/people.md")
    pieces = [block for block in whole if block.language == "python"]
    for block in pieces:
        if "raw_0001.root" in block.text:  # declared by the command of the same paragraph
            LocalCatalogue(known["nova"]).declare([before_file("raw_0001.root")])
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.text, str(block), "exec"), known)
    nova = known["nova"]
    assert nova.restricted and nova.author_may_approve
    assert not User.objects.get(username="ada").is_active
    assert known["dataset"].files.count() == 1
    assert known["secret"].startswith("poms_")


def test_what_is_typed_after_shell_c_runs():
    typed = [words[words.index("-c") + 1] for block in ALL if block.language == "sh" for words in shell.commands(shell.typed(block))
             if "shell" in words and "-c" in words]  # fmt: skip
    assert len(typed) == 1
    exec(typed[0], of_a_shell())
    assert BatchSystem.objects.filter(name="local").exists()


@pytest.mark.parametrize("block", SQL, ids=str)
def test_a_statement_is_one_that_the_tables_answer(block: Block):
    with connection.cursor() as cursor:
        cursor.execute(block.text)
