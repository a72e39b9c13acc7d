"""Counting within a minute: exact under threads, one statement each, nothing kept that nobody needs."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connection

from core import rates, retention
from core.errors import TooMany
from core.models import Rate

pytestmark = pytest.mark.django_db


def age(seconds: int) -> None:
    """Let what was counted be so long ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_rate SET slot = slot - %s", [seconds // rates.WIDTH])


def test_so_many_pass_and_the_next_is_told_when_to_come():
    assert [rates.take("a", 3) for _ in range(3)] == [0.0] * 3
    wait = rates.take("a", 3)
    assert 60 < wait <= 65
    assert rates.take("b", 3) == 0.0  # somebody else


def test_who_comes_when_told_is_let_through_and_not_before():
    for _ in range(3):
        rates.take("a", 3)
    age(60)
    assert 0 < rates.take("a", 3) <= 5  # no minute has more than three: their last slot ends first
    age(5)
    assert rates.take("a", 3) == 0.0


def test_refused_tries_do_not_count():
    for _ in range(50):
        rates.take("a", 2)
    assert sum(Rate.objects.get(key="a").slots) == 2
    age(65)
    assert rates.take("a", 2) == 0.0


def test_the_window_slides_rather_than_beginning_anew():
    for _ in range(3):
        rates.take("a", 4)
    age(30)
    assert rates.take("a", 4) == 0.0
    assert 30 < rates.take("a", 4) <= 35  # until the three of half a minute ago are gone
    age(35)
    assert [rates.take("a", 4) > 0 for _ in range(4)] == [False, False, False, True]


def test_a_clock_that_goes_back_forgives_nothing():
    rates.take("a", 1)
    age(-20)  # the other server of a pair was ahead
    assert rates.take("a", 1) > 60


def test_no_limit_counts_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert rates.take("a", 0) == 0.0
    assert not Rate.objects.exists()


def test_each_is_one_statement(django_assert_num_queries):
    for _ in range(2):
        with django_assert_num_queries(1):
            rates.take("a", 1)


def test_the_sentence_says_when():
    rates.demand("a", 1, "You have launched")
    with pytest.raises(TooMany, match=r"^You have launched 1 times within a minute.*come again in 6\d s\.$") as told:
        rates.demand("a", 1, "You have launched")
    assert f"in {told.value.wait} s" in told.value.detail


def test_a_row_is_one_for_each_who_is_counted_and_goes_with_the_loop():
    for number in range(200):
        rates.take(f"from:{number % 5}", 1000)
    assert Rate.objects.count() == 5
    retention.retain()
    assert Rate.objects.count() == 5  # of this minute
    age(70)
    rates.take("from:0", 1000)
    retention.retain()
    assert [row.key for row in Rate.objects.all()] == ["from:0"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [1, 60])
def test_racing_gets_nobody_more(most):
    passed: list[str] = []
    ready = threading.Barrier(12)

    def race(number: int) -> None:
        ready.wait()
        for _ in range(20):
            key = f"user:{number % 2}"
            if not rates.take(key, most):
                passed.append(key)
        connection.close()

    threads = [threading.Thread(target=race, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(passed) == {"user:0": most, "user:1": most}


def test_no_request_waits_for_a_disk():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE oid = 'core_rate'::regclass")
        assert cursor.fetchone()[0] == "u"
