"""Keeping uploads: a quota for each person and experiment, counted before anything is kept; names that are no paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from core.clock import now
from core.errors import NotVisible, Problem, Refused
from core.locking import transaction_lock
from core.redaction import secrets_in
from core.transitions import record
from experiments.models import Experiment
from integrations.uploads.models import Upload, UploadContent

MOST = 500
LONGEST_NAME = 200
# POMS keeps no secrets. Macros have words such as token = in them, so only what has the form of one counts.
CREDENTIALS = {"a private key", "a bearer token", "a vault token"}
CREDENTIAL_NAMES = ("vt_", "x509up")
_NAME = re.compile(r"[A-Za-z0-9_+=@,][A-Za-z0-9_.+=@, -]*")


def check_name(name: str) -> None:
    """Refuse a name that could lead elsewhere, or that a shell or a launch host would take for something else."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME or name != name.strip():
        hint = "letters, digits and . _ - + = @ , or a blank in it; it begins with a letter or digit and has no folder"
        raise Refused("Nothing was kept.", [Problem("name", f"cannot be kept: {name[:60]!a}", hint)])


def keep(
    experiment: Experiment, user: Any, name: str, pieces: Iterable[bytes], *, declared: int | None = None
) -> Upload:
    """Keep a file, which may take the place of one of its name; more than there is room for is refused unkept.

    `pieces` are read one by one and no further than the room goes; `declared` is the length that was announced.
    """
    check_name(name)
    room = room_of(experiment, user, besides=name)
    if declared is not None and declared > room:
        _too_much(declared, room)
    content, digest = bytearray(), hashlib.sha256()
    for piece in pieces:
        if len(content) + len(piece) > room:
            _too_much(len(content) + len(piece), room)
        content += piece
        digest.update(piece)
    _refuse_credential(name, bytes(content))
    key = digest.hexdigest()
    with transaction.atomic():
        transaction_lock(f"upload:{experiment.pk}:{user.pk}")
        room = room_of(experiment, user, besides=name)
        if len(content) > room:
            _too_much(len(content), room)
        own = Upload.objects.filter(experiment=experiment, user=user)
        if own.exclude(name=name).count() >= MOST:
            raise Refused("Nothing was kept.", [Problem("name", f"there are {MOST} files already", "remove some")])
        UploadContent.objects.bulk_create([UploadContent(digest=key, content=bytes(content))], ignore_conflicts=True)
        made, _ = Upload.objects.update_or_create(
            experiment=experiment, user=user, name=name,
            defaults={"size": len(content), "digest": key, "uploaded_at": now()},
        )  # fmt: skip
        _note(experiment, user, "upload", f"{name}, {len(content)} bytes, sha256 {key}")
    return made


def room_of(experiment: Experiment, user: Any, *, besides: str = "") -> int:
    """Return how many bytes somebody may still keep, beside the file of a name."""
    own = Upload.objects.filter(experiment=experiment, user=user).exclude(name=besides)
    return max(0, settings.UPLOAD_QUOTA - (own.aggregate(n=Sum("size"))["n"] or 0))


def found(experiment: Experiment, user: Any, name: str) -> Upload:
    """Return one's own file of a name."""
    row = Upload.objects.filter(experiment=experiment, user=user, name=name).first()
    if row is None:
        raise NotVisible(f"There is no upload {name[:200]} of yours in {experiment.name}, or you may not see it.")
    return row


@transaction.atomic
def remove(experiment: Experiment, user: Any, name: str) -> None:
    """Take a file away; launches that it came with keep its name and hash, and for a while its content is kept too."""
    found(experiment, user, name).delete()
    _note(experiment, user, "remove_upload", name)


def area_of(experiment_id: int, user_id: int) -> dict[str, str]:
    """Return what comes with a launch of somebody's analysis: each file's name and hash."""
    rows = Upload.objects.filter(experiment=experiment_id, user=user_id).order_by("name")
    return dict(rows.values_list("name", "digest"))


def content_of(digest: str) -> bytes:
    """Return the bytes of a hash."""
    row = UploadContent.objects.filter(digest=digest).first()
    if row is None:
        raise NotVisible(f"The upload with the hash {digest[:12]}… is not kept any more.")
    return bytes(row.content)


def forget(in_use: Iterable[str], after: timedelta) -> int:
    """Delete contents that nobody's area has, that are not among those in use, and that came long ago."""
    rows = UploadContent.objects.filter(created_at__lt=now() - after).exclude(digest__in=list(in_use))
    return rows.exclude(digest__in=Upload.objects.values("digest")).delete()[0]


def _refuse_credential(name: str, content: bytes) -> None:
    """Refuse what the old client uploaded for launches, and whatever else gives somebody's rights away."""
    text = content.decode("utf-8", "replace")
    kind = next((found.what for found in secrets_in(text) if found.what in CREDENTIALS), None)
    if kind is None and name.startswith(CREDENTIAL_NAMES):
        kind = "a credential, by its name"
    if kind:
        hint = "POMS keeps no credentials: launches find them where an administrator has said, and renew them there"
        raise Refused("Nothing was kept.", [Problem("file", f"{name} is or has {kind}", hint)])


def _too_much(size: int, room: int) -> None:
    text = f"{size} bytes or more, and there is room for {room}"
    hint = f"remove some; the quota is {settings.UPLOAD_QUOTA} bytes"
    raise Refused("Nothing was kept.", [Problem("file", text, hint)])


def _note(experiment: Experiment, user: Any, verb: str, reason: str) -> None:
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk, actor=user.actor,
        reason=reason, verb=verb,
    )  # fmt: skip
