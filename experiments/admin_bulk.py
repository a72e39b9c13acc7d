"""Acts on several chosen rows of an admin list: a page that asks for the reason, and one that says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.template.response import TemplateResponse

from core.errors import PomsError
from experiments.admin_forms import ReasonForm

MOST = 200


@dataclass(frozen=True)
class Act:
    """One act: its key among the actions, the words of its button and title, and what it does to one row."""

    key: str
    title: str
    done: str
    verb: Callable[[Any, str, str], Any]  # row, reason, the mark that was shown with the row
    note: str = ""
    danger: bool = False


def ask_and_act(admin: Any, request: HttpRequest, chosen: Any, act: Act, mark: Callable[[Any], str]) -> Any:
    """Ask for the reason first; then act on each row by itself, and say for each what was done or why not.

    `mark` says in which form a row was shown to the person; it comes back with the answer.
    """
    rows = list(chosen[: MOST + 1])
    if len(rows) > MOST:
        raise PermissionDenied(f"At most {MOST} at a time; choose fewer. Nothing was changed.")
    form = ReasonForm(request.POST if "apply" in request.POST else None)
    context = {
        **admin.admin_site.each_context(request), "title": act.title, "opts": admin.opts, "act": act, "form": form,
        "chosen": [(row, mark(row)) for row in rows], "checkbox": ACTION_CHECKBOX_NAME,
    }  # fmt: skip
    if not form.is_bound or not form.is_valid():
        status = 422 if form.is_bound else 200
        return TemplateResponse(request, "admin/act_on_chosen.html", context, status=status)
    told = [_one(admin, request, row, act, form.cleaned_data["reason"]) for row in rows]
    context |= {"told": told, "count": sum(done for _, done, _ in told)}
    return TemplateResponse(request, "admin/acted_on_chosen.html", context)


def _one(admin: Any, request: HttpRequest, row: Any, act: Act, reason: str) -> tuple[Any, bool, str]:
    try:
        with transaction.atomic():
            admin.permit(request, "change", row)
            act.verb(row, reason, request.POST.get(f"mark_{row.pk}", "")[:64])
    except PomsError as refusal:
        return row, False, str(refusal)
    except PermissionDenied as refusal:
        return row, False, str(refusal)
    return row, True, act.done
