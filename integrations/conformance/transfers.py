"""What every transfer service must do, said against the protocol; a backend's tests bring a bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from integrations.errors import Unavailable
from integrations.transfers.base import Failed, Transfers, Waiting


class Bench(Protocol):
    """What the tests need of a backend beside the service."""

    transfers: Transfers

    def wait(self, name: str) -> None:
        """Let a file be on its way."""
        ...

    def fail(self, name: str, message: str) -> None:
        """Let a file not get on."""
        ...

    def finish(self, name: str) -> None:
        """Bring a file to its end."""
        ...


class TransfersConformance:
    """Inherit it with fixtures `bench`, and `broken`: a way in which the service does not answer as it should."""

    def test_each_file_stands_as_the_service_says(self, bench: Bench) -> None:
        bench.wait("a.root")
        bench.fail("b.root", "no space")
        assert bench.transfers.status(["a.root", "b.root", "c.root"]) == {
            "a.root": Waiting(), "b.root": Failed("no space"),
        }  # fmt: skip

    def test_what_is_done_or_was_never_seen_is_not_spoken_of(self, bench: Bench) -> None:
        bench.fail("a.root", "no space")
        bench.finish("a.root")
        assert bench.transfers.status(["a.root", "b.root"]) == {}

    def test_files_of_others_are_not_spoken_of(self, bench: Bench) -> None:
        bench.wait("a.root")
        assert bench.transfers.status(["b.root"]) == {}
        assert bench.transfers.status([]) == {}

    def test_a_service_that_does_not_answer_says_nothing_of_any_file(
        self, bench: Bench, broken: Callable[[], None]
    ) -> None:
        bench.wait("a.root")
        broken()
        with pytest.raises(Unavailable):
            bench.transfers.status(["a.root"])
        assert bench.transfers.status(["a.root"]) == {"a.root": Waiting()}
