"""Analyses: their hosts, and the files that come with their launches, on record and cleaned up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from campaigns.logic import editing
from campaigns.models import Campaign
from core.errors import Refused
from integrations.launcher import allowing
from integrations.launcher.base import Place
from integrations.models import LaunchHost
from integrations.uploads import keeping
from submissions.logic import launching, planning, sandboxing
from submissions.models import Submission
from tests import builders
from tests.cast import Cast

GEN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=2\nevents_per_job=1\ncs_split_type=nevents(2)\n"
    "recovery_rounds=0\ncompletion_pct=100\n"
)


def host(cast: Cast, name: str, *, analysis: bool) -> LaunchHost:
    """Enter a launch host."""
    return LaunchHost.objects.create(
        experiment=cast.experiment, name=name, address=name, account="ana" if analysis else "pro", home="/home",
        known_hosts="", for_analysis=analysis,
    )  # fmt: skip


def text(role: str = "analysis") -> str:
    """Return a definition in a role."""
    return builders.definition(stages=GEN).replace("poms_role=production", f"poms_role={role}")


@pytest.mark.django_db
def test_each_is_launched_from_its_own_hosts_only(cast: Cast, settings: Any) -> None:
    host(cast, "grid", analysis=False)
    host(cast, "desk", analysis=True)

    def why(name: str, analysis: bool) -> str:
        return allowing.why_not(Place.of("ssh", cast.experiment.pk, name, ""), analysis=analysis)

    assert why("grid", analysis=False) == why("desk", analysis=True) == why("unknown", analysis=True) == ""
    assert "is not for analysis" in why("grid", analysis=True)
    assert "is for analysis" in why("desk", analysis=False)
    settings.LOCAL_SHARED_ACCOUNT = False
    assert "account of the workers" in allowing.why_not(Place("local"), analysis=True)
    assert allowing.why_not(Place("local"), analysis=False) == ""


@pytest.mark.django_db
def test_a_definition_says_where_it_may_not_be_launched(cast: Cast, settings: Any) -> None:
    settings.LOCAL_SHARED_ACCOUNT = True
    builders.login_setup(cast)
    host(cast, "grid", analysis=False)
    host(cast, "desk", analysis=True)
    builders.login_setup(cast, "far", launcher="ssh", host="grid", account="pro")
    builders.login_setup(cast, "near", launcher="ssh", host="desk", account="ana")

    def told(role: str, setup: str, author: Any) -> list[str]:
        wanted = text(role).replace("login_setup=local", f"login_setup={setup}")
        return [problem.message for problem in editing.read(wanted, cast.experiment, author).errors]

    assert told("analysis", "near", cast.analyser) == told("production", "far", cast.analyser) == []
    assert "is not for analysis" in told("analysis", "far", cast.analyser)[0]
    assert "is for analysis" in told("production", "near", cast.operator)[0]
    assert "needs the role analyser" in told("analysis", "near", cast.experimenter)[0]


@pytest.mark.django_db
def test_what_is_not_allowed_there_is_not_launched(cast: Cast, settings: Any, tmp_path: Path) -> None:
    settings.LOCAL_LAUNCHES = tmp_path
    settings.LOCAL_SHARED_ACCOUNT = True
    planned(cast)
    settings.LOCAL_SHARED_ACCOUNT = False  # what was allowed when it was planned, and is no more
    assert launching.start_some() == 1
    row = Submission.objects.get()
    assert row.state == "launch_failed" and "account of the workers" in row.why
    assert not list(tmp_path.iterdir())


def planned(cast: Cast) -> Campaign:
    """Return an analysis with its first submission."""
    builders.login_setup(cast)
    cast.people["experimenter"] = cast.analyser
    campaign = builders.approved_campaign(cast, text())
    planning.plan(campaign.stages.get().pk)
    assert Submission.objects.get().analyst == cast.analyser
    return campaign


@pytest.mark.django_db
def test_production_takes_nobodys_uploads(cast: Cast) -> None:
    keeping.keep(cast.experiment, cast.experimenter, "mine", [b"x"])
    campaign = builders.approved_campaign(cast, text("production"))
    planning.plan(campaign.stages.get().pk)
    assert Submission.objects.get().analyst is None


@pytest.mark.django_db(transaction=True)
def test_uploads_come_with_the_launch_are_on_record_and_are_cleaned_up(
    real_cast: Cast, local_system: Any, drive: Any, settings: Any, tmp_path: Path
) -> None:
    settings.LOCAL_SHARED_ACCOUNT = True
    made = keeping.keep(real_cast.experiment, real_cast.analyser, "fit.C", [b"void fit() {}"])
    seen = tmp_path / "seen"
    script = f'cat "$UPLOADS/fit.C" > "{seen}"; export TINY_JOB=\'echo x > "$NAME"\''
    builders.login_setup(real_cast, setup=script)
    campaign = planned(real_cast)

    drive(lambda: Submission.objects.filter(state__in=("submitted", "running", "completed")).exists())
    keeping.keep(real_cast.experiment, real_cast.analyser, "fit.C", [b"another"])
    row = Submission.objects.get()
    assert row.uploads == {"fit.C": made.digest} and row.sandbox_since is not None
    assert seen.read_text() == "void fit() {}"
    sandbox = Path(settings.LOCAL_LAUNCHES) / str(row.uuid)[:2] / str(row.uuid) / "uploads"
    assert sandbox.exists()

    def ended() -> bool:
        campaign.refresh_from_db()
        return campaign.state == "succeeded"

    drive(ended)
    assert sandboxing.clean_some() == 1
    row.refresh_from_db()
    assert row.sandbox_since is None and row.uploads == {"fit.C": made.digest}
    assert not sandbox.exists()
    assert sandboxing.clean_some() == 0
    # Its content stays, for the record: nobody has it in an area any more.
    sandboxing.forget()
    assert keeping.content_of(made.digest) == b"void fit() {}"


@pytest.mark.django_db
def test_an_analysis_needs_somebody_who_may(cast: Cast) -> None:
    builders.login_setup(cast)
    with pytest.raises(Refused, match="analyser"):
        editing.read_or_refuse(text(), cast.experiment, cast.experimenter)
