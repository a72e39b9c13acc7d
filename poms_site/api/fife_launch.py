"""The API's view of fife_launch configurations: what one sets, and whether a campaign fits it. Nothing is kept."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import command, fife_launch
from campaigns.definition import LONGEST_TEXT, known_words
from campaigns.logic import editing
from campaigns.models import Campaign
from campaigns.queries import newest
from core.errors import NotVisible, Refused
from experiments.viewsets import Document, ScopedViewSet
from poms_site.api.definitions import problems_of


class FifeInput(serializers.Serializer[Any]):
    """The body that asks about a configuration: its text and those that it includes, by name."""

    experiment = serializers.CharField()
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True)
    name = serializers.CharField(max_length=400, default="the configuration")
    includes = serializers.DictField(
        child=serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True), default=dict
    )
    stages = serializers.ListField(child=serializers.CharField(max_length=200), max_length=50, default=list)
    overrides = serializers.ListField(child=serializers.CharField(max_length=4000), max_length=100, default=list)
    campaign = serializers.CharField(max_length=120, allow_blank=True, default="")


class FifeView(ScopedViewSet):
    """Configurations of fife_launch, as somebody sends them."""

    model = Campaign
    letter = "c"
    rules = {"fife": "view"}

    def fife(self, request: Request) -> Response:
        """Show what a configuration sets and what does not fit it: a command's options, or a campaign's stages."""
        wanted = self.body(FifeInput)
        self.permit(self.experiment_named(wanted["experiment"]))
        campaign = self._campaign(wanted["campaign"]) if wanted["campaign"] else None
        found = fife_launch.read(wanted["text"], wanted["includes"], wanted["name"])
        words = [word for name in wanted["stages"] for word in ("--stage", name)]
        words += [word for given in wanted["overrides"] for word in ("-O", given)]
        asked = fife_launch.options.read(["-c", found.name, *words])
        return Response({
            "name": found.name, "errors": problems_of(found.errors), "warnings": problems_of(found.warnings),
            "missing": found.missing,
            "stages": [stage_document(row) for row in fife_launch.stages(found, asked.overrides)],
            "settings": settings_document(fife_launch.staged(found, asked.stages, asked.overrides)) if words else [],
            "unfit": problems_of(fife_launch.fits(found, asked)) if words else [],
            "campaign": campaign.ref if campaign else None,
            "checked": self._checked(campaign, found) if campaign else [],
        })  # fmt: skip

    def _campaign(self, ref: str) -> Campaign:
        experiment, slash, key = ref.partition("/")
        if not slash or not key.startswith("c") or not key[1:].isdecimal() or len(key) > 18:
            raise NotVisible(f"There is no {ref[:60]}, or you may not see it.")
        found: Campaign = self.find_permitted(f"{experiment}/{key}")
        return found

    def _checked(self, campaign: Campaign, found: fife_launch.Configuration) -> list[Document]:
        """Hold each stage of the newest revision against the configuration."""
        row = newest(campaign)
        if row is None:
            raise NotVisible(f"{campaign.ref} has no definition yet.")
        parsed = editing.read(row.source, campaign.experiment, self.request.user)
        if parsed.errors:
            raise Refused(f"Revision {row.number} of {campaign.ref} cannot be read whole.", parsed.errors)
        kinds = {entry.name: entry for entry in parsed.definition.job_types}
        told: list[Document] = []
        for stage in parsed.definition.stages:
            kind = kinds[stage.job_type]
            launched = fife_launch.launches(kind.launch_script)
            pairs = command.overlay(kind.parameters, stage.params)
            words = known_words(parsed.definition, stage)
            told.append({
                "stage": stage.name, "launch_script": kind.launch_script, "launched": launched,
                "unfit": problems_of(
                    fife_launch.check(found, pairs, script=kind.launch_script, words=words) if launched else ()
                ),
            })  # fmt: skip
        return told


def stage_document(staged: fife_launch.Staged) -> Document:
    """Return a stage as the API shows it."""
    return {
        "stage": staged.name, "overrides": [setting_document(row) for row in staged.overrides],
        "problems": problems_of(staged.problems),
    }  # fmt: skip


def settings_document(staged: fife_launch.Staged) -> list[Document]:
    """Return every value in force as the API shows it."""
    return [setting_document(row) for row in staged.settings]


def setting_document(row: fife_launch.Setting) -> Document:
    """Return one value: as it is filled in, or null and what is missing, and who said it."""
    return {
        "section": row.section, "key": row.key, "written": row.entry.value, "value": row.filled.text,
        "unset": list(row.filled.unset), "from": row.entry.place,
    }  # fmt: skip


urlpatterns = [path("campaigns/fife/", FifeView.as_view({"post": "fife"}), name="campaigns-fife")]
