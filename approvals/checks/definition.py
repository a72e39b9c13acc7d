"""Checks of the text: whole, acyclic, every reference resolved; and in keeping with what the request asks for. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from approvals.checks.base import FAIL, PASS, WARN, Facts, Line
from approvals.estimate import datasets_of
from campaigns import command

SHELL = set(";|&<>`$\n")


class Whole:
    """The text parses, names only what exists, and its stages do not feed each other in a circle."""

    name = "definition"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Every complaint of the parser with its line, or what there is."""
        for result, problems in ((FAIL, facts.errors), (WARN, facts.warnings)):
            for problem in problems:
                where = f"line {problem.line}: " if problem.line else ""
                yield Line(self.name, result, f"{where}{problem.field}: {problem.message}", problem.hint)
        if not facts.errors:
            stages, edges = len(facts.definition.stages), len(facts.definition.edges)
            text = f"complete and acyclic: {stages} stage{'s' * (stages != 1)}, {edges} edge{'s' * (edges != 1)}"
            yield Line(self.name, PASS, text)


class References:
    """Every %(word)s in scripts and parameters resolves."""

    name = "parameters"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """How many there are; one that resolves to nothing is an error of the definition already."""
        if facts.errors:
            return
        texts = [entry.launch_script for entry in facts.definition.job_types]
        texts += [t for entry in facts.definition.job_types for pair in entry.parameters for t in pair]
        texts += [t for stage in facts.definition.stages for pair in stage.params for t in pair]
        names = sorted({name for text in texts for name in command.references(text)})
        if names:
            yield Line(self.name, PASS, f"every reference resolves: {', '.join(names)}")


class Agreement:
    """What the request asks for is what the definition does."""

    name = "agreement"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """A dataset or release that no stage uses, or several ways of saying what to process."""
        if facts.errors:
            return
        if len(facts.wanted) > 1:
            text = f"the request says in {len(facts.wanted)} ways what to process: {', '.join(facts.wanted)}"
            yield Line(self.name, FAIL, text, "keep one of dataset, files, query")
        read = datasets_of(facts.definition)
        for way, dataset in facts.wanted.items():
            if read and dataset and dataset not in read:
                hint = "name it as dataset_or_split_data of the first stage, or correct the request"
                yield Line(
                    self.name, FAIL, f"the {way} asked for is {dataset}, but stages read {', '.join(read)}", hint
                )
        releases = {stage.software_version for stage in facts.definition.stages} - {""}
        if facts.release and releases and facts.release not in releases:
            hint = "set software_version of the stages, or correct the release"
            yield Line(self.name, FAIL, f"the release asked for is {facts.release}, but stages use"
                       f" {', '.join(sorted(releases))}", hint)  # fmt: skip


class Begun:
    """A change of a campaign that runs reaches only what is still to come."""

    name = "running campaign"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Name the stages whose input is frozen."""
        if facts.begun:
            text = (
                f"the input of {', '.join(facts.begun)} is frozen: another dataset or number of events changes nothing"
            )
            yield Line(self.name, WARN, text, "for other inputs, clone the request")


class Scripts:
    """The scripts are there, on the launch host, and are programs and not shell text."""

    name = "scripts"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Own job types to be read, shell characters that no shell will read, and what the launch host says."""
        for entry in facts.definition.job_types:
            found = sorted(SHELL & set(entry.launch_script))
            if found:
                shown = " ".join(repr(char)[1:-1] for char in found)
                hint = "name a program and its arguments; put anything else into a script of its own"
                yield Line(
                    self.name, FAIL, f"the launch script of {entry.name} has {shown}, which no shell reads", hint
                )
        for name in facts.own_job_types:
            text = f"the text defines its own job type {name}"
            yield Line(self.name, WARN, text, "read its launch script before deciding")
        for name, answer in facts.scripts.items():
            if answer.yes is None:
                yield Line(self.name, "not_checked", f"whether {name} is on the launch host: {answer.why}")
            elif answer.yes:
                yield Line(self.name, PASS, f"{name} is on the launch host")
            else:
                yield Line(self.name, FAIL, f"{name} is not on the launch host", answer.why)


def programs(definition: object) -> list[str]:
    """Return the program of each job type's launch script, without its arguments."""
    found = []
    for entry in getattr(definition, "job_types", ()):
        try:
            words = shlex.split(entry.launch_script)
        except ValueError:  # an open quote: the definition check says so
            continue
        if words and not (SHELL & set(words[0])) and "%(" not in words[0]:
            found.append(words[0])
    return list(dict.fromkeys(found))
