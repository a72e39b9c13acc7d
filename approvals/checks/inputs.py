"""Checks of what is processed: datasets exist and have files, which are at hand, and nobody did it before. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks.base import FAIL, NOT_CHECKED, PASS, WARN, Facts, Line

FEW = 5


class Datasets:
    """Every dataset that a stage names exists and is not empty; every file of a list is known."""

    name = "dataset"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """One line a dataset, and one for what a list names that nobody knows."""
        if facts.unread:
            yield Line(self.name, NOT_CHECKED, f"the catalogue could not be asked: {facts.unread}")
            return
        for name, count in facts.datasets.items():
            if count is None:
                hint = "check its name with `poms file list`, or make the dataset first"
                yield Line(self.name, FAIL, f"there is no dataset {name}", hint)
            elif count == 0:
                yield Line(self.name, FAIL, f"the dataset {name} is empty", "wait for its files, or name another")
            else:
                yield Line(self.name, PASS, f"{name} has {count} file{'s' * (count != 1)}")
        if facts.unknown_files:
            some = ", ".join(facts.unknown_files[:FEW])
            more = f" and {len(facts.unknown_files) - FEW} more" if len(facts.unknown_files) > FEW else ""
            text = f"the catalogue knows nothing of {some}{more}"
            yield Line(self.name, FAIL, text, "correct the list, or declare these files first")


class Tape:
    """Files are on disk, or must come from tape first."""

    name = "files at hand"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """One line a dataset."""
        for name, answer in facts.offline.items():
            if answer.yes is None:
                yield Line(self.name, NOT_CHECKED, f"whether files of {name} are on disk: {answer.why}")
            elif answer.yes:
                yield Line(self.name, WARN, f"files of {name} are on tape only", "ask for them to be staged first")
            else:
                yield Line(self.name, PASS, f"the files of {name} are on disk")


class Duplicates:
    """The same input, release and stage is not done or pending elsewhere."""

    name = "duplicate work"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """One line for each place: to do it again may be meant, so that the approver decides."""
        if facts.errors:
            return
        if facts.uncompared:
            yield Line(self.name, NOT_CHECKED, f"whether the same was done before: {facts.uncompared}")
            return
        for same in facts.same:
            what = f"{same.shared} of {same.of} {same.unit} of {same.stage}"
            whole = same.shared >= same.of
            text = (
                f"{what} {'are' if same.shared != 1 else 'is'} processed with the same release and script by {same.ref}"
            )
            hint = (
                f"use what {same.ref} puts out, or change release or parameters"
                if whole
                else f"leave these out, or have it consolidated with {same.ref}"
            )
            yield Line(self.name, WARN, f"{text} ({same.state.replace('_', ' ')})", hint)
        if not facts.same:
            yield Line(self.name, PASS, "nothing of it was done or asked for before")


class OutputNames:
    """Names of outputs do not collide with files that exist."""

    name = "output names"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """What the request says of its names, or what its test run put out, against the catalogue."""
        if facts.taken is None:
            hint = "say how outputs are named, or make a test run"
            yield Line(self.name, NOT_CHECKED, facts.taken_why or "nobody knows yet how outputs are named", hint)
        elif facts.taken:
            some = ", ".join(facts.taken[:FEW])
            text = f"files of these names exist already: {some}{' …' if len(facts.taken) > FEW else ''}"
            yield Line(self.name, FAIL, text, "name the outputs otherwise, for instance by another campaign name")
        else:
            yield Line(self.name, PASS, f"no file is called {facts.outputs}" if facts.outputs else facts.taken_why)
