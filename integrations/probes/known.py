"""What POMS speaks to anyway: the depth of a batch system, a catalogue, a tag of a repository, a credential."""

from __future__ import annotations

from collections.abc import Callable

from integrations import errors, registry
from integrations.probes import git
from integrations.probes.base import DOWN, UNKNOWN, UP, Asked, Look, Setting, read, within

QUEUE = (
    Setting("system", "the batch system by its name"),
    Setting("most_idle", "idle jobs above which nothing more is launched", whole=True),
    Setting("reopen_idle", "idle jobs below which launches go on; empty: 80 % of that", "", whole=True),
    Setting("counted", "by whom: system (all that it has) or poms (what this experiment has there)", "system"),
)
CATALOGUE = (Setting("name", "the catalogue by its name; empty: the experiment's own", ""),)
GIT = (Setting("url", "the repository"), Setting("tag", "the tag that must be there"))
CREDENTIAL = (Setting("name", "the credential by its name"),)

# What counts idle jobs by our own record: submissions says it, which stands above (system, experiment or none).
counts: list[Callable[[str, int | None], int]] = []
# What says of a credential whether it is good: whoever keeps them puts it here (experiment or none, name).
credentials: list[Callable[[int | None, str], Look]] = []


class Queue:
    """A batch system takes more: not too many jobs are idle in it (F23)."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        found = read(QUEUE, asked.settings)
        self.asked, self.system, self.counted = asked, found["system"], found["counted"]
        self.most, self.reopen = found["most_idle"], found["reopen_idle"]
        if self.counted not in ("system", "poms"):
            raise errors.Refused(f"counted is system or poms, not {self.counted[:20]}.")

    def look(self, *, was_down: bool) -> Look:
        """Ask how many are idle."""
        if self.counted == "poms":
            key = self.asked.experiment.pk if self.asked.experiment else None
            idle = sum(count(self.system, key) for count in counts)
        else:
            try:
                idle = registry.batch(self.system).depth()["idle"]
            except (errors.Unavailable, errors.Unsure) as error:
                return Look(DOWN, f"{self.system} does not say how many jobs are idle: {error}")
        text, figures = f"{idle} jobs are idle in {self.system}", {"idle": idle, "most_idle": self.most}
        if within(idle, self.most, self.reopen, was_down=was_down):
            return Look(UP, text, figures)
        limit = f"at most {self.most} may be"
        if was_down:
            limit += f"; launches go on at {self.reopen if self.reopen is not None else self.most * 8 // 10}"
        return Look(DOWN, f"{text}; {limit}", figures)


class CatalogueProbe:
    """A catalogue answers a cheap question."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        self.asked, self.name = asked, read(CATALOGUE, asked.settings)["name"]
        if asked.experiment is None:
            raise errors.Refused("Catalogues belong to experiments: enter the service for one.")

    def look(self, *, was_down: bool) -> Look:
        """Ask it for a file that there never is."""
        assert self.asked.experiment is not None  # noqa: S101 - refused above
        try:
            registry.catalogue(self.asked.experiment, self.name).known(["poms-probe-of-the-catalogue"])
        except (errors.Unavailable, errors.Unsure) as error:
            return Look(DOWN, f"it does not answer: {error}")
        return Look(UP, "it answers")


class GitTag:
    """A release is there: its repository has the tag (P2)."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        found = read(GIT, asked.settings)
        self.url, self.tag = found["url"], found["tag"]

    def look(self, *, was_down: bool) -> Look:
        """Ask the repository."""
        try:
            there = git.has_tag(self.url, self.tag)
        except errors.Unavailable as error:
            return Look(DOWN, f"{self.url} does not answer: {error}")
        if there:
            return Look(UP, f"{self.url} has the tag {self.tag}")
        return Look(DOWN, f"{self.url} has no tag {self.tag}")


class CredentialProbe:
    """A credential is good, as whoever keeps it says."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        self.asked, self.name = asked, read(CREDENTIAL, asked.settings)["name"]

    def look(self, *, was_down: bool) -> Look:
        """Ask of it by name."""
        key = self.asked.experiment.pk if self.asked.experiment else None
        for say in credentials:
            return say(key, self.name)
        return Look(UNKNOWN, f"nobody here can say whether the credential {self.name} is good")
