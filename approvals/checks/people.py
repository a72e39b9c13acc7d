"""Checks of who asks and who decides, and of the experiment's own fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks.base import FAIL, PASS, WARN, Facts, Line


class Approvers:
    """An approver is registered for the production stage (W1)."""

    name = "production stage"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Whether somebody can decide at all."""
        if facts.production_stage in facts.production_stages:
            yield Line(self.name, PASS, f"approvers are registered for {facts.production_stage}")
            return
        known = ", ".join(facts.production_stages) or "none yet"
        hint = f"choose one of: {known}; or ask an administrator to register an approver"
        yield Line(self.name, FAIL, f"nobody decides on {facts.production_stage or 'it'} here", hint)


class Entitled:
    """The requester may ask for work of this experiment."""

    name = "requester"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """What the roles say."""
        if facts.entitled.yes:
            yield Line(self.name, PASS, facts.entitled.why or "may file requests here")
        else:
            yield Line(self.name, FAIL, facts.entitled.why, "ask an administrator of the experiment for a role")


class OwnFields:
    """The experiment's own fields are those that it has declared."""

    name = "own fields"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Name what nobody will read."""
        if facts.undeclared:
            text = f"the experiment has not declared {', '.join(facts.undeclared)}"
            yield Line(self.name, WARN, text, "a slip of the pen? Nothing reads a field that is not declared")
