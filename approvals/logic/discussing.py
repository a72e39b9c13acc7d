"""What people say about a request: comments with mentions, attachments within a quota, and who follows it."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from approvals.logic import deciding, steps
from approvals.models import Attachment, Comment, Request, Watcher
from core.errors import Conflict, NotAllowed, Problem, Refused
from core.redaction import refuse_secrets
from experiments.models import User
from experiments.roles import roles_with
from experiments.scoping import may, require

LONGEST = 16_000
MOST_ATTACHMENTS = 50
_MENTION = re.compile(r"(?<![\w@.+-])@([\w.+-]*\w)")


def say(request: Request, text: str, *, by: Any) -> Comment:
    """Add a comment; its author, and whoever it mentions as @name and may see the request, follow it from now."""
    require(by, "view", request.experiment)
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise Refused("Nothing was said.", [Problem("text", "is empty", "write something")])
    if len(text) > LONGEST:
        raise Refused(
            "Nothing was kept.", [Problem("text", f"longer than {LONGEST} characters", "attach it as a file")]
        )
    named = dict.fromkeys(_MENTION.findall(text))
    people = User.objects.filter(username__in=list(named), is_active=True)
    heard = [person for person in people if may(person, "view", request.experiment)]
    with transaction.atomic():
        names = sorted(person.username for person in heard)
        comment = Comment.objects.create(request=request, author=by, text=text, mentions=names)
        for person in (by, *heard):
            Watcher.objects.get_or_create(request=request, user=person)
        _note(request, "comment", by, f"comment {comment.pk}: {text[:300]}")
    return comment


def attach(request: Request, name: str, content: bytes, *, by: Any) -> Attachment:
    """Hang a file on a request, as long as its quota has room."""
    require(by, "view", request.experiment)
    name = PurePath(name.replace("\\", "/")).name.strip()
    problems = []
    if not name or len(name) > 200 or not name.isprintable():
        problems.append(Problem("file", "its name cannot be kept", "name it with letters and digits"))
    if not content:
        problems.append(Problem("file", "is empty"))
    if problems:
        raise Refused("Nothing was attached.", problems)
    refuse_secrets([("file", content.decode(errors="replace"))])
    with transaction.atomic():
        steps.locked(request)
        own = Attachment.objects.filter(request=request)
        used = own.aggregate(total=Sum("size"))["total"] or 0
        if used + len(content) > settings.ATTACHMENT_QUOTA or own.count() >= MOST_ATTACHMENTS:
            room = max(0, settings.ATTACHMENT_QUOTA - used) / 1e6
            text = f"{len(content) / 1e6:.1f} MB, and the request has room for {room:.1f} MB more"
            raise Refused("Nothing was attached.", [Problem("file", text, "keep large files in a catalogue")])
        if own.filter(name=name).exists():
            raise Conflict(f"There is an attachment {name} already; give this one another name. Nothing was attached.")
        made = Attachment.objects.create(
            request=request, name=name, size=len(content), digest=hashlib.sha256(content).hexdigest(), content=content,
            by=by,
        )  # fmt: skip
        _note(request, "attach", by, f"attached {name} ({len(content)} bytes, sha256 {made.digest[:12]}…)")
    return made


def detach(request: Request, name: str, *, by: Any, reason: str) -> None:
    """Take an attachment away: whoever hung it there may, and production; the history keeps that it was there."""
    deciding.needs_reason("take an attachment away", reason)
    with transaction.atomic():
        steps.locked(request)
        found = Attachment.objects.filter(request=request, name=name).select_related("by").defer("content").first()
        if found is None:
            names = ", ".join(Attachment.objects.filter(request=request).values_list("name", flat=True)) or "none"
            problem = Problem("name", f"no attachment {name[:60] or 'was named'}", f"there are {names}")
            raise Refused("Nothing was taken away.", [problem])
        if found.by_id != by.pk and not may(by, "check_request", request.experiment):
            roles = " or ".join(roles_with("check_request"))
            raise NotAllowed(
                f"{found.name} is {found.by.username}'s; for somebody else's this needs the role {roles} in"
                f" {request.experiment.name}. Nothing was changed."
            )
        found.delete()
        _note(request, "detach", by, f"took {found.name} away (sha256 {found.digest[:12]}…): {reason}")


def watch(request: Request, *, by: Any) -> None:
    """Follow a request."""
    require(by, "view", request.experiment)
    Watcher.objects.get_or_create(request=request, user=by)


def unwatch(request: Request, *, by: Any) -> None:
    """Follow it no longer."""
    Watcher.objects.filter(request=request, user=by).delete()


def _note(request: Request, verb: str, by: Any, reason: str) -> None:
    request.refresh_from_db(fields=["state"])
    steps.note(request, verb, actor=by.actor, reason=reason)
