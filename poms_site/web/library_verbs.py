"""What can be done with a campaign as a definition: cloned, tagged, archived, deleted where nothing of it ever ran."""

from __future__ import annotations

import re
from typing import Any

from django.utils.text import slugify

from approvals.logic import templating
from campaigns.logic import copying, shelving
from campaigns.models import Campaign
from core.errors import Problem, Refused
from poms_site.overview.words import count
from poms_site.web.verb import Ask, Verb

NAME = Ask("name", "Name of the clone", needed=False, bulk=False,
           help="Empty: made by the pattern below, or clone-of-….")  # fmt: skip
FIND = Ask("find", "In place of", needed=False, help="A part of the name, such as 2025.")
PUT = Ask("put", "put", needed=False, help="What stands there in the clone, such as 2026.")
EVERYWHERE = Ask("everywhere", "Everywhere", "yes", needed=False,
                 help="Also in the names of stages and in all values: datasets, releases, parameters.")  # fmt: skip
CALLED = Ask("name", "Name of the template", bulk=False, help="Letters, digits and hyphens.",
             begins=lambda c: slugify(c.name))  # fmt: skip
TITLE = Ask("title", "Title", needed=False, bulk=False, begins=lambda c: c.name)
ABOUT = Ask("about", "What it is for", "long", needed=False, bulk=False)
PARAMETERS = Ask("parameters", "Parameters", "long", needed=False, bulk=False,
                 help="One a line: name = value | what it is. It is put where the value stands.")  # fmt: skip
TAGS = Ask("tags", "Tags", help="Words with blanks between them.")
ITS_TAGS = Ask("tags", "Tags", help="Those to take off, with blanks between them.", begins=lambda c: " ".join(c.tags))


def _tags(asked: dict[str, Any]) -> list[str]:
    return re.split(r"[\s,]+", str(asked.get("tags", "")).strip(" ,"))


def _clone(campaign: Campaign, user: Any, reason: str, asked: dict[str, Any]) -> Campaign:
    values = {name: str(asked.get(name, "")) for name in ("name", "find", "put")}
    return copying.clone(campaign, by=user, **values, everywhere=asked.get("everywhere") == "1").campaign


def _template(campaign: Campaign, user: Any, reason: str, asked: dict[str, Any]) -> Any:
    values = {name: str(asked.get(name, "")) for name in ("name", "title", "about", "parameters")}
    if not re.fullmatch(r"[\w-]{1,60}", values["name"], re.ASCII):
        problem = Problem("name", f"no name of a template: {values['name'][:60]}", "letters, digits and hyphens")
        raise Refused("No template was made.", [problem])
    return templating.template_of(campaign, values.pop("name"), by=user, reason=reason, **values)


def _is_shelvable(campaign: Campaign) -> bool:
    return campaign.archived_at is None and campaign.state in shelving.SHELVABLE


LIBRARY_VERBS: tuple[Verb, ...] = (
    Verb("c", "clone", "Clone", "file_request",
         lambda c: f"This makes a draft campaign of yours with the newest definition of {c.ref}; nobody is asked yet.",
         _clone, lambda c: True, reason=False, wordless=True, asks=(NAME, FIND, PUT, EVERYWHERE), listed=False,
         leads=lambda c, made: made.ref),
    Verb("c", "tag", "Tag", "file_request",
         lambda c: f"{c.ref} is found by its tags; it has {', '.join(c.tags) or 'none yet'}.",
         lambda c, user, reason, asked: shelving.tag(c, _tags(asked), by=user, reason=reason), lambda c: True,
         reason=False, wordless=True, asks=(TAGS,), listed=False),
    Verb("c", "untag", "Take tags off", "file_request", lambda c: f"{c.ref} is no longer found by what you take off.",
         lambda c, user, reason, asked: shelving.untag(c, _tags(asked), by=user, reason=reason),
         lambda c: bool(c.tags), reason=False, wordless=True, asks=(ITS_TAGS,), listed=False),
    Verb("c", "archive", "Archive", "file_request",
         lambda c: f"{c.ref} leaves the lists. It can be read, searched and cloned as before, and fetched back.",
         lambda c, user, reason, asked: shelving.archive(c, by=user, reason=reason), _is_shelvable, reason=False,
         listed=False),
    Verb("c", "unarchive", "Fetch back from the archive", "file_request",
         lambda c: f"{c.ref} stands in the lists again.",
         lambda c, user, reason, asked: shelving.unarchive(c, by=user, reason=reason),
         lambda c: c.archived_at is not None, reason=False, listed=False),
    Verb("c", "template", "Make a template of", "define",
         lambda c: f"The newest definition of {c.ref} can be begun with from then on; parameters are asked for.",
         _template, lambda c: c.revisions.exists(), reason=False, listed=False,
         asks=(CALLED, TITLE, ABOUT, PARAMETERS)),
    Verb("c", "delete", "Delete", "file_request",
         lambda c: f"{c.ref} with {count(c.revisions.count(), 'revision')} is gone for good; nobody was asked.",
         lambda c, user, reason, asked: shelving.delete(c, by=user, reason=reason), shelving.is_deletable, danger=True,
         listed=False),
)  # fmt: skip
