"""Texts of campaigns that nobody has to approve yet: imported, saved, restored; each save is a revision (T1, J7).

A draft may be unfinished: what keeps it from running is said and kept. What is no definition at all is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from campaigns import definition, queries
from campaigns.definition import changing, merging, yaml_form
from campaigns.logic import editing
from campaigns.models import Campaign, Revision
from core import differences, transitions
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.roles import roles_with
from experiments.scoping import may, require

FORMS = ("ini", "yaml")


@dataclass(frozen=True)
class Looked:
    """What an import would do: to which campaign (None: a new one), and what would be different."""

    text: str
    parsed: definition.Parsed
    campaign: Campaign | None
    difference: Sequence[str]


def look(experiment: Experiment, text: str, *, by: Any, form: str = "ini", name: str = "") -> Looked:
    """Read a text as a campaign of the experiment, under its own name or another; nothing is written.

    Raises Refused where it is no definition of a campaign at all.
    """
    text = as_ini(text, form=form, name=name)
    parsed = read(text, experiment, by)
    standing = Campaign.objects.filter(experiment=experiment, name=parsed.definition.name, test=False)
    campaign = standing.select_related("experiment").order_by("-pk").first()
    before = queries.newest(campaign) if campaign else None
    return Looked(text, parsed, campaign, differences.between(before.source, text) if before else ())


def as_ini(text: str, *, form: str = "ini", name: str = "") -> str:
    """Return a text in our form, under another name if one is given."""
    text = yaml_form.from_yaml(text) if form == "yaml" else text
    return changing.set_value(text, "campaign", "", "name", name) if name else text


def import_text(experiment: Experiment, looked: Looked, *, by: Any, note: str = "") -> Revision:
    """Keep a text that was looked at: as a new campaign, or as the next draft of the one that has its name."""
    require(by, "file_request", experiment)
    with transaction.atomic():
        campaign = looked.campaign or editing.create(
            experiment, name=looked.parsed.definition.name, owner=by, reason=note.strip() or "imported"
        )
        return save(campaign, looked.text, by=by, note=note or "imported")


def save(campaign: Campaign, text: str, *, by: Any, note: str = "", base: int | None = None) -> Revision:
    """Keep a text as the campaign's next revision, a draft; `base` is the number of the one that was opened.

    Raises Conflict if somebody saved another one since, and Refused if nothing is different.
    """
    refuse_unless_editor(campaign, by)
    parsed = read(text, campaign.experiment, by)
    with transaction.atomic():
        row = Campaign.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=campaign.pk)
        last = queries.newest(row)
        if base is not None and last is not None and last.number != base:
            raise Conflict(
                f"{last.author.username} saved revision {last.number} after you opened revision {base}; nothing was"
                " kept. Join the two, or look at theirs.",
                [Problem("base", f"{base} is not the newest any more", f"the newest is {last.number}")],
            )
        if last is not None and last.source == text:
            raise Refused("Nothing is different; nothing was kept.")
        if parsed.definition.name != row.name:
            if row.state != "new":
                where = Problem("name", f"the campaign is called {row.name}", "keep its name, or clone it")
                raise Refused("A campaign that was asked for keeps its name; nothing was kept.", [where])
            Campaign.objects.filter(pk=row.pk).update(name=parsed.definition.name)
            campaign.name = parsed.definition.name
        revision = Revision.objects.create(
            campaign=row, number=last.number + 1 if last else 1, text="", source=text, digest=parsed.definition.digest,
            keywords=dict(parsed.definition.keywords), author=by, note=note.strip()[:400], state="draft",
        )  # fmt: skip
        transitions.created(revision, actor=by.actor, reason=note.strip() or "saved")
    return revision


def restore(campaign: Campaign, number: int, *, by: Any, base: int | None = None) -> Revision:
    """Save the text of an older revision again."""
    old = campaign.revisions.filter(number=number).first()
    if old is None:
        raise Refused("Nothing was restored.", [Problem("number", f"{campaign.ref} has no revision {number}")])
    return save(campaign, old.source, by=by, note=f"as revision {number}", base=base)


def join(
    campaign: Campaign, text: str, base: int, choices: dict[str, str] | None = None
) -> tuple[merging.Merged, Revision]:
    """Join a text that was begun from revision `base` with what was saved since; return it and that revision."""
    numbered = {row.number: row for row in campaign.revisions.filter(number__gte=base).select_related("author")}
    if base not in numbered:
        raise Refused("Nothing was joined.", [Problem("base", f"{campaign.ref} has no revision {base}")])
    last = numbered[max(numbered)]
    return merging.merge(numbered[base].source, text, last.source, choices), last


def draft_of(experiment: Experiment, name: str, *, by: Any) -> Campaign | None:
    """Return the campaign of this name that was never asked for and that the person may edit: a request becomes its."""
    rows = Campaign.objects.filter(experiment=experiment, name=name, state="new", test=False)
    rows = rows.filter(revisions__state="draft").exclude(revisions__state="proposed").distinct()
    for row in rows.select_related("experiment").order_by("-pk")[:5]:
        if row.owner_id == by.pk or may(by, "define", experiment):
            return row
    return None


def read(text: str, experiment: Experiment, author: Any) -> definition.Parsed:
    """Read a text that may be unfinished; raise Refused where it is no definition at all."""
    parsed = editing.read(text, experiment, author)
    if parsed.malformed:
        raise Refused("This is no definition of a campaign; nothing was kept.", parsed.malformed)
    return parsed


def may_edit(campaign: Campaign, by: Any) -> bool:
    """Tell whether a person may change a campaign's definition: production, and who owns it and may file requests."""
    own = campaign.owner_id == by.pk and may(by, "file_request", campaign.experiment)
    return own or may(by, "define", campaign.experiment)


def refuse_unless_editor(campaign: Campaign, by: Any) -> None:
    """Let production edit, and who owns the campaign and may still file requests."""
    if may_edit(campaign, by):
        return
    roles = " or ".join(roles_with("define"))
    raise NotAllowed(
        f"{campaign.ref} is {campaign.owner.username}'s; to change somebody else's campaign needs the role {roles} in"
        f" {campaign.experiment.name}. Nothing was changed."
    )
