"""What an old call asks for: form fields by name, and the things behind its numbers, as far as they are visible."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from campaigns.models import Campaign, Stage
from core.errors import NotVisible, Problem, Refused
from experiments.models import Experiment
from experiments.scoping import experiments_for, require
from submissions.models import Submission

NONE = ("", "None")  # the old client's scripts send the word for nothing


class Asked:
    """One call: who asks, and the fields of address and form, of which the form's count first."""

    def __init__(self, user: Any, method: str, fields: Any, files: Any, path: dict[str, str]) -> None:
        self.user, self.method, self.files, self.path = user, method, files, path
        self._fields = fields
        self.permission = "view"

    def text(self, *names: str, default: str = "") -> str:
        """Return the first of these fields that says something."""
        for name in names:
            value = self._fields.get(name)
            if value is not None and value not in NONE:
                return str(value)
        return default

    def raw(self, name: str) -> str | None:
        """Return a field as it was sent, or None where it was not."""
        value = self._fields.get(name)
        return None if value is None else str(value)

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(self._fields)

    def needed(self, *names: str) -> str:
        """Return the first of these fields that says something, or refuse the call."""
        if not (value := self.text(*names)):
            raise Refused("Nothing was done.", [Problem(names[0], "is missing")])
        return value

    def all(self, name: str) -> list[str]:
        """Return everything that a field was sent with."""
        return [str(value) for value in self._fields.getlist(name) if value not in NONE]

    def numbers(self, name: str) -> list[int]:
        """Return numbers that stand between commas; an empty list where the field says nothing."""
        words = [word.strip() for word in self.text(name).strip("[]").split(",") if word.strip()]
        return [self._number(name, word) for word in words]

    def yes(self, name: str) -> bool:
        """Tell whether a field is switched on."""
        return self.text(name).lower() in ("1", "true", "y", "yes", "on", "t")

    @property
    def reason(self) -> str:
        """Return the reason that is kept: the caller's own, where one is sent."""
        return self.text("reason") or f"by the old call {self.method}"

    @property
    def role(self) -> str:
        """Return the role of the address, which the old answers repeat."""
        word = self.path.get("role") or self.text("role")
        return word if re.fullmatch(r"[a-z-]{1,40}", word) else "production"

    def experiment(self) -> Experiment:
        """Return the experiment of the address or form; somebody who sees one only need not name it."""
        seen = experiments_for(self.user, "view")
        if name := self.path.get("experiment") or self.text("experiment"):
            row = seen.filter(name=name).first()
            if row is None:
                raise NotVisible(f"There is no experiment {name[:60]}, or you may not see it.")
        else:
            rows = list(seen[:2])
            if len(rows) != 1:
                raise Refused("Nothing was done.", [Problem("experiment", "is missing", "name yours in the call")])
            row = rows[0]
        self.permit(row)
        return row

    def submission(self) -> Submission:
        """Return the submission of a number, or of the uuid that our own launches carry."""
        given = self.needed("submission_id", "task_id")
        rows = Submission.objects.visible_to(self.user).select_related(
            "experiment", "batch__stage__campaign__experiment", "batch__version", "campaign__owner"
        )
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", given):
            row = rows.filter(uuid=given).first()
        else:
            row = rows.filter(pk=self._number("submission_id", given)).first()
        if row is None:
            raise NotVisible(f"There is no submission {given}, or you may not see it.")
        self.permit(row.experiment)
        return row

    def stage(self, *names: str) -> Stage:
        """Return the stage of a number; by its name, where the experiment has one campaign stage of it."""
        names = names or ("campaign_stage_id", "campaign_stage", "campaign")
        given = self.needed(*names)
        rows = Stage.objects.visible_to(self.user).select_related("campaign__experiment", "campaign__owner")
        pair = self._pair(names)
        if given.isdecimal():
            row = rows.filter(pk=self._number(names[0], given)).first()
        elif pair:
            row = self.newest_stage(*pair)
        else:
            row = rows.filter(name=given, campaign__experiment=self.experiment()).order_by("-campaign_id").first()
        if row is None:
            raise NotVisible(f"There is no campaign stage {given[:60]}, or you may not see it.")
        self.permit(row.campaign.experiment)
        return row

    def campaign(self, *names: str) -> Campaign:
        """Return the campaign of a number or a name, of a name the newest."""
        names = names or ("campaign_id", "campaign_name", "name", "campaign")
        given = self.needed(*names)
        rows = Campaign.objects.visible_to(self.user).select_related("experiment", "owner", "revision")
        row = rows.filter(pk=self._number(names[0], given)).first() if given.isdecimal() else None
        if row is None and not (given.isdecimal() and self.text("campaign_id") == given):
            named = rows.filter(name=given, test=False, experiment=self.experiment())
            row = named.order_by("-pk").first()
        if row is None:
            raise NotVisible(f"There is no campaign {given[:60]}, or you may not see it.")
        self.permit(row.experiment)
        return row

    def newest_stage(self, campaign: str, name: str) -> Stage | None:
        """Return the stage of this name in the newest campaign of that name."""
        rows = Stage.objects.visible_to(self.user).select_related("campaign__experiment", "campaign__owner")
        named = rows.filter(name=name, campaign__name=campaign, campaign__test=False)
        return named.filter(campaign__experiment=self.experiment()).order_by("-campaign_id").first()

    def permit(self, experiment: Experiment) -> None:
        """Raise NotAllowed unless the caller holds the call's permission there."""
        require(self.user, self.permission, experiment)

    def _pair(self, names: Sequence[str]) -> tuple[str, str] | None:
        """Return campaign and stage where a field names both, twice or as a list."""
        for name in names:
            both = [str(value) for value in self._fields.getlist(name)]
            if len(both) == 2:
                return both[0], both[1]
            if len(both) == 1 and both[0].startswith(("[", "(")):
                found = literal(name, both[0])
                if isinstance(found, list | tuple) and len(found) == 2:
                    return str(found[0]), str(found[1])
        return None

    def _number(self, name: str, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise Refused("Nothing was done.", [Problem(name, f"expected a number, not {text[:60]}")])
        return int(text)


def literal(name: str, text: str) -> Any:
    """Return what a field writes as Python or JSON would: lists, texts, numbers."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        such_as = """[["-Oglobal.x=", "1"]]"""
        raise Refused("Nothing was done.", [Problem(name, "cannot be read", f"for instance {such_as}")]) from error


def pairs(name: str, text: str) -> list[tuple[str, str]]:
    """Return [key, value] pairs that a field writes."""
    found = literal(name, text)
    fits = isinstance(found, list | tuple) and all(isinstance(one, list | tuple) and len(one) == 2 for one in found)
    if not fits:
        raise Refused("Nothing was done.", [Problem(name, "expected a list of [key, value] pairs")])
    return [(str(key), str(value)) for key, value in found]
