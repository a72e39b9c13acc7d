"""How the rolling upgrade finds the old code in the history, and what it takes for tables that do not suit a code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults import upgrade


def commit(root: Path, *paths: str) -> str:
    """Commit files that are new or changed; return the commit's id."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("a") as file:
            file.write("new\n")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["add", "."], [*who, "commit", "--quiet", "-m", "change"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a repository whose houses have a migration each."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit(
        tmp_path, *(f"{house}/migrations/{name}" for house in upgrade.HOUSES for name in ("__init__.py", "0001_all.py"))
    )
    return tmp_path


def test_the_old_code_lacks_the_newest_migration_of_each_house(history: Path) -> None:
    commit(history, "core/migrations/0002_older.py")
    before = commit(history, "README.md")
    commit(history, "submissions/migrations/0002_waits.py")
    commit(history, "core/migrations/0003_rates.py", "integrations/migrations/0002_kinds.py")
    commit(history, "README.md", "submissions/migrations/0001_all.py")
    assert upgrade.before_newest(history) == before


def test_where_the_history_does_not_go_back_so_far_it_says_so(history: Path) -> None:
    with pytest.raises(upgrade.NoHistory):
        upgrade.before_newest(history)


def test_where_the_commit_before_has_a_newest_migration_already_it_says_so(history: Path) -> None:
    commit(history, "core/migrations/0002_rates.py")
    with pytest.raises(upgrade.NoHistory):
        upgrade.before_newest(history)


@pytest.mark.parametrize(
    "line",
    [
        "ERROR:  column submissions_submission.not_before does not exist at character 8",
        'psycopg2.errors.UndefinedColumn: column "not_before" of relation "submissions_submission" does not exist',
        'django.db.utils.ProgrammingError: relation "core_rate" does not exist',
        'ERROR:  null value in column "not_before" of relation "submissions_submission" violates not-null constraint',
        "ERROR:  function sealed(bigint, text) does not exist at character 8",
        'ERROR:  new row for relation "core_rate" violates check constraint "core_rate_slot_ck"',
    ],
)
def test_what_postgresql_says_of_tables_that_do_not_suit_is_found(line: str) -> None:
    assert upgrade.unsuited(["all is well", line, ""]) == [line]


@pytest.mark.parametrize(
    "line",
    [
        "ERROR:  canceling statement due to lock timeout",
        "campaigns.models.Campaign.DoesNotExist: Campaign matching query does not exist.",
        'ERROR:  duplicate key value violates unique constraint "submissions_unit_uq"',
    ],
)
def test_what_it_says_of_other_things_is_not(line: str) -> None:
    assert upgrade.unsuited([line]) == []
