"""Checks of the code: in a package named as production, under a release tag, with its configuration (P2). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.checks.base import FAIL, NOT_CHECKED, PASS, WARN, Answer, Facts, Line


class Production:
    """The code is in a package that the experiment has named as production."""

    name = "package"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """The package that the request names, against those of the experiment."""
        if not facts.repository:
            if facts.packages:
                hint = f"name one of {', '.join(facts.packages)}"
                yield Line(self.name, WARN, "the request names no package that holds the code", hint)
            return
        if facts.repository in facts.packages:
            yield Line(self.name, PASS, f"{facts.repository} is named as production")
            return
        known = ", ".join(facts.packages) or "none yet"
        hint = f"choose one of: {known}; or ask an administrator to name it"
        yield Line(self.name, FAIL, f"{facts.repository} is not named as production", hint)


class Release:
    """The release tag exists in the package's repository."""

    name = "release"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """What `git ls-remote` says."""
        if facts.release:
            missing = f"there is no tag {facts.release} in {facts.repository}"
            found = f"the tag {facts.release} exists in {facts.repository}"
            why = "the request names no package, so there is nowhere to look"
            hint = "push the tag, or correct its name"
            yield _line(self.name, facts.tag, found=found, missing=missing, hint=hint, why=why)


class Configuration:
    """The configuration file exists at the tag."""

    name = "configuration"

    def lines(self, facts: Facts) -> Iterator[Line]:
        """What the repository has at that tag."""
        if facts.configuration:
            missing = f"{facts.release} has no file {facts.configuration}"
            found = f"{facts.release} holds {facts.configuration}"
            why = "it needs a package and a release tag to look in"
            hint = "give its path within the repository"
            yield _line(self.name, facts.configured, found=found, missing=missing, hint=hint, why=why)


def _line(name: str, answer: Answer | None, *, found: str, missing: str, hint: str, why: str) -> Line:
    if answer is None or answer.yes is None:
        return Line(name, NOT_CHECKED, f"not asked: {answer.why if answer else why}")
    return Line(name, PASS, found) if answer.yes else Line(name, FAIL, missing, hint)
