"""Check of what the stages pass to fife_launch, against the configuration that it reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks.base import FAIL, NOT_CHECKED, PASS, WARN, Facts, Line
from campaigns import command, fife_launch
from campaigns.command import Pair
from campaigns.definition import Definition, JobTypeText, StageText, known_words
from campaigns.fife_launch import Configuration
from core.errors import Problem


class FifeLaunch:
    """Every --stage and -O names something that the configuration has."""

    name = "fife_launch"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """What fife_launch would refuse or pass over; none where no stage is launched by it."""
        kinds = {entry.name: entry for entry in facts.definition.job_types}
        launched = [
            (stage, kinds[stage.job_type])
            for stage in facts.definition.stages
            if stage.job_type in kinds and fife_launch.launches(kinds[stage.job_type].launch_script)
        ]
        if facts.errors or not launched:
            return
        hint = "`poms campaign fife FILE --campaign REF` checks a file of yours"
        found = facts.fife
        if found is None:
            why = facts.unread_fife or "it needs a package, a release tag and a configuration to look in"
            yield Line(self.name, NOT_CHECKED, f"not read: {why}", hint)
            return
        if found.missing:
            text = f"{found.name} includes {', '.join(found.missing)}, not in {facts.repository} at {facts.release}"
            yield Line(self.name, NOT_CHECKED, text, hint)
            return
        for result, problems in ((FAIL, found.errors), (WARN, found.warnings)):
            for problem in problems:
                yield Line(self.name, result, _told(found.name, problem), problem.hint)
        if not found.errors:
            yield from self._stages(facts.definition, found, launched)

    def _stages(
        self, definition: Definition, found: Configuration, launched: list[tuple[StageText, JobTypeText]]
    ) -> Iterator[Line]:
        clean = []
        for stage, kind in launched:
            pairs: list[Pair] = command.overlay(kind.parameters, stage.params)
            words = known_words(definition, stage)
            reads = fife_launch.asked(pairs, kind.launch_script, words).configuration
            if reads.rpartition("/")[2] != found.name.rpartition("/")[2]:
                text = f"{stage.name} reads {reads or 'no configuration'}, not the {found.name} of the request"
                yield Line(self.name, NOT_CHECKED, text, "name the same file in both")
                continue
            problems = fife_launch.check(found, pairs, script=kind.launch_script, words=words)
            for problem in problems:
                yield Line(self.name, WARN, _told(stage.name, problem), problem.hint)
            if not problems:
                clean.append(stage.name)
        if clean:
            yield Line(self.name, PASS, f"what {', '.join(clean)} set and choose is in {found.name}")


def _told(of: str, problem: Problem) -> str:
    line = f" line {problem.line}" if problem.line else ""
    return f"{of}: {problem.field}{line}: {problem.message}"
