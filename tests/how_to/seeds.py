"""Check `seeds` of a request's report: every stage that generates events says its seed."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks import PASS, WARN, Facts, Line


class Seeds:
    """Stages that generate events say from which seed, so that the same events can be made again."""

    name = "seeds"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """One line for all stages that generate; none where no stage does."""
        stages = [stage for stage in facts.definition.stages if stage.type == "generator"]
        without = [stage.name for stage in stages if not stage.seed]
        if without:
            yield Line(
                self.name, WARN, f"no seed is said of {', '.join(without)}", "seed=7, say, in the stage's section"
            )
        elif stages:
            yield Line(self.name, PASS, "every stage that generates events says its seed")
