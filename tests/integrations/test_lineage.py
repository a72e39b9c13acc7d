"""Pure parts of the catalogues: outputs put together by their inputs, and names by patterns as PostgreSQL reads them."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from integrations.catalogue import lineage, patterns
from integrations.catalogue.base import FileSeen
from integrations.catalogue.declared import Setting, read
from integrations.errors import Refused

UNITS = st.sets(st.sampled_from([f"file:{letter}" for letter in "abcdefgh"]), max_size=3)


@given(st.lists(UNITS, max_size=8))
def test_outputs_that_share_a_unit_are_together_and_each_unit_stands_once(made):
    outputs = [(FileSeen(f"{number}.root"), units) for number, units in enumerate(made)]
    jobs = lineage.jobs_of(outputs)
    units = [unit for job in jobs for unit in job.units]
    files = [seen.name for job in jobs for seen in job.outputs]
    assert len(units) == len(set(units)) == len(set().union(*made))
    assert sorted(files) == sorted(seen.name for seen, theirs in outputs if theirs)
    assert len({job.job for job in jobs}) == len(jobs)
    home = {seen.name: job.job for job in jobs for seen in job.outputs}
    for (one, mine), (other, theirs) in combinations(outputs, 2):
        if mine & theirs:
            assert home[one.name] == home[other.name]
    assert jobs == lineage.jobs_of(reversed(outputs))


def test_units_that_share_nothing_are_jobs_of_their_own():
    jobs = lineage.jobs_of([(FileSeen("a"), ["u1"]), (FileSeen("b"), ["u2", "u3"]), (FileSeen("c"), ["u3"])])
    assert [(job.units, [seen.name for seen in job.outputs]) for job in jobs] == [
        (["u1"], ["a"]),
        (["u2", "u3"], ["b", "c"]),
    ]


def test_the_name_of_a_job_fits_into_its_column():
    (job,) = lineage.jobs_of([(FileSeen("a"), ["file:" + "x" * 220])])
    assert len(job.job) <= lineage.LONGEST_JOB


@pytest.mark.django_db
def test_patterns_mean_what_postgresql_means_by_them():
    dice = random.Random(20261122)
    pairs = [("".join(dice.choices("ab_.%+[(^$", k=dice.randrange(6))), "".join(dice.choices("ab_.+[(^$", k=dice.randrange(6))))
             for _ in range(3000)]  # fmt: skip
    wanted, names = zip(*pairs, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name LIKE pattern, name ~ ('^' || expression || '$')"
            " FROM unnest(%s, %s, %s) WITH ORDINALITY AS t(name, pattern, expression, n) ORDER BY n",
            [list(names), list(wanted), [patterns.expression(one) for one in wanted]],
        )
        theirs = cursor.fetchall()
    ours = [patterns.matcher(pattern)(name) if pattern else not name for pattern, name in pairs]
    assert 100 < sum(ours) < 2900
    assert [(mine, mine) for mine in ours] == theirs


def test_one_of_several_patterns_is_enough_and_none_is_all():
    assert patterns.matcher("a%, %.root")("x.root")
    assert not patterns.matcher("a%, %.root")("x.log")
    assert patterns.matcher("")("anything")


def test_all_that_is_wrong_with_settings_is_named_at_once():
    declared = {
        "url": Setting("where", obligatory=True),
        "how": Setting("how", default="a", choices=("a", "b")),
        "n": Setting("n"),
    }
    assert read("test", declared, {"url": " x ", "n": 7}) == {"url": "x", "how": "a", "n": "7"}
    with pytest.raises(Refused) as raised:
        read("test", declared, {"how": "c", "n": True, "more": 1})
    for words in (
        "url is missing: where",
        "how is c, not one of a, b",
        "n is neither",
        "more is not one of its settings",
    ):
        assert words in str(raised.value)
