"""Checks of what it takes: jobs that fit the slots, and the cost. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks.base import FAIL, NOT_CHECKED, PASS, WARN, Facts, Line


class Fits:
    """The memory that jobs ask for is there in some slot of their batch system."""

    name = "resources"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """One line a batch system."""
        if facts.errors:
            return
        setups = {entry.name: entry.batch for entry in facts.definition.login_setups}
        for system, slots in facts.slots.items():
            if slots.why:
                yield Line(self.name, NOT_CHECKED, f"what slots {system} has: {slots.why}")
                continue
            own = [s for s in facts.definition.stages if setups.get(s.login_setup) == system]
            large = [s for s in own if slots.memory_mb and s.memory_mb > slots.memory_mb]
            for stage in large:
                text = f"jobs of {stage.name} ask for {stage.memory_mb} MB; the largest slot of {system} has"
                yield Line(self.name, FAIL, f"{text} {slots.memory_mb:.0f} MB", "ask for less, or another batch system")
            if not slots.slots:
                yield Line(self.name, WARN, f"{system} has no slot now", "jobs will wait until it has")
            elif not large:
                most = max((s.memory_mb for s in own), default=0)
                yield Line(self.name, PASS, f"{most} MB fit into slots of {system}, which has {slots.slots}")


class Expense:
    """How much it is: jobs, and core-hours where they can be known."""

    name = "cost"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """The sums, and what is missing for them."""
        if facts.errors or facts.cost is None:
            return
        cost = facts.cost
        if cost.jobs is None:
            yield Line(self.name, NOT_CHECKED, "the number of jobs depends on what the first stages put out")
            return
        text = f"{cost.jobs} job{'s' * (cost.jobs != 1)}"
        known = [stage for stage in cost.stages if stage.seconds is not None]
        if cost.core_hours is None:
            hint = "give hours_per_file, or make a test run"
            missing = f"{' and '.join(cost.missing)} {'is' if len(cost.missing) == 1 else 'are'} not known"
            if not known:
                yield Line(self.name, WARN, f"{text}; {missing}", hint)
                return
            hours = sum(stage.seconds or 0 for stage in known) / 3600
            names = ", ".join(stage.name for stage in known)
            yield Line(self.name, PASS, f"{text}, about {hours:.3g} core-hours in {names}; {missing}", hint)
            return
        spread = f" ± {cost.core_hours_spread:.1g}" if cost.core_hours_spread else ""
        yield Line(self.name, PASS, f"{text}, about {cost.core_hours:.3g}{spread} core-hours")
