"""What jobs want of a slot: said in the definition, frozen with each attempt, told to the batch system."""

from __future__ import annotations

import pytest

from campaigns.definition import check, comparing, dump, explaining, parse
from campaigns.models import StageVersion
from integrations.batch.base import Slots
from poms_site.overview import words
from submissions.logic import planning, preparing
from submissions.logic.wanting import wanted_of
from submissions.models import Batch, Submission
from tests import builders

# A text, and the digest that it had before slots could be asked for.
OLD = (
    "[campaign]\nexperiment=demo\nname=x\n[campaign_stage gen]\nstage_type=generator\nevents=4\njob_type=j\nlogin_setup=l\n"
    "[job_type j]\nlaunch_script=x\n[login_setup l]\nhost=a\n"
)
OLD_DIGEST = "c7845f0c414685d6721c7f6a5fbf4b8df1e258b0c6829743addc9a4ff0cc7317"
SAID = (
    "cpus=4\ndisk_mb=5000\ngpus=1\nslots=dedicated,onsite , onsite\nsites=FNAL, BNL,FNAL\navoid_sites=uk.RAL-1\n"
    'value_overrides={"calib": {"cpus": 2, "slots": "offsite", "sites": ""}}\n'
)


def text_of(more: str = "") -> str:
    return builders.definition(
        stages=f"[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(2)\n{more}"
    )


def test_they_are_read_and_written_in_one_way():
    parsed = parse(text_of(SAID))
    assert parsed.errors == []
    (stage,) = parsed.definition.stages
    assert (stage.cpus, stage.disk_mb, stage.gpus) == (4, 5000, 1)
    assert (stage.slots, stage.sites, stage.avoid_sites) == ("onsite, dedicated", "FNAL, BNL", "uk.RAL-1")
    text = dump(parsed.definition)
    assert "slots=onsite, dedicated\nsites=FNAL, BNL\navoid_sites=uk.RAL-1\n" in text
    assert dump(parse(text).definition) == text


def test_what_says_nothing_of_slots_is_the_text_that_it_was():
    found = parse(text_of()).definition
    usual = parse(text_of("cpus=1\ndisk_mb=0\ngpus=0\nslots=\nsites=\navoid_sites=\n")).definition
    assert not any(f"\n{key}=" in dump(found) for key in ("cpus", "disk_mb", "gpus", "slots", "sites", "avoid_sites"))
    assert usual.digest == found.digest
    assert parse(OLD).definition.digest == OLD_DIGEST


@pytest.mark.parametrize(
    ("line", "says", "hint"),
    [
        ("cpus=0", "0 is not between 1 and 10000", ""), ("cpus=many", "expected a whole number, not many", ""),
        ("disk_mb=-1", "-1 is not between 0", ""), ("gpus=1.5", "expected a whole number", ""),
        ("slots=onsite, grid", "unknown: grid", "some of onsite, offsite, opportunistic, dedicated; empty: any"),
        ("sites=FNAL; rm", "FNAL; rm is no name of a site", "names with commas"),
        ("avoid_sites=--all", "--all is no name of a site", "names with commas"),
        ('value_overrides={"a": {"slots": "somewhere"}}', "unknown: somewhere", ""),
        ('value_overrides={"a": {"nodes": "x"}}', "nodes cannot be laid over", "cpus"),
    ],
)  # fmt: skip
def test_what_is_no_slot_is_named_with_its_line(line, says, hint):
    text = text_of(line + "\n")
    (problem,) = parse(text).errors
    assert says in problem.message
    assert hint in problem.hint
    assert problem.line == text.splitlines().index(line) + 1


def test_a_site_cannot_be_wanted_and_avoided():
    (problem,) = check(parse(text_of("login_setup=\nsites=FNAL, BNL\navoid_sites=BNL\n")).definition)[-1:]
    assert (problem.field, problem.message) == (
        "[campaign_stage gen] avoid_sites", "BNL cannot be both wanted and avoided",
    )  # fmt: skip
    own = 'sites=FNAL\nvalue_overrides={"calib": {"avoid_sites": "FNAL"}}\n'
    assert [p.message for p in check(parse(text_of(own)).definition) if "avoided" in p.message] == [
        "FNAL cannot be both wanted and avoided of calib"
    ]


def test_a_change_of_slots_is_told_and_explained():
    before, after = (parse(text_of(more)).definition for more in ("", "cpus=2\nslots=onsite\n"))
    assert [str(change) for change in comparing.compare(before, after)] == [
        "stage gen: cpus none → 2", "stage gen: slots none → onsite",
    ]  # fmt: skip
    why = {entry.key: entry for entry in explaining.explain(text_of("gpus=2\n"), "gen").keys}
    assert (why["gpus"].value, why["gpus"].layer) == ("2", "stage")
    assert (why["cpus"].value, why["cpus"].layer) == ("", "POMS")


def test_slots_are_shown_in_words():
    assert words.slots(Slots(memory_mb=2000, wall_s=60)) == ""
    asked = Slots(
        cpus=4, gpus=1, disk_mb=20_000, kinds=("onsite", "dedicated"), sites=("A", "B"), avoid_sites=("C", "D")
    )
    assert words.slots(asked) == "4 cores, 20 GB of disk, 1 GPU, onsite or dedicated, at A or B, not at C, D"


@pytest.mark.django_db
def test_an_attempt_keeps_what_it_wants(cast):
    builders.approved_campaign(cast, text_of(SAID))
    planning.plan_some()
    submission = Submission.objects.earliest("pk")
    expected = Slots(
        memory_mb=200, wall_s=60, disk_mb=5000, cpus=4, gpus=1, kinds=("onsite", "dedicated"), sites=("FNAL", "BNL"),
        avoid_sites=("uk.RAL-1",),
    )  # fmt: skip
    assert wanted_of(submission).slots == expected
    version = StageVersion.objects.get()
    assert version.slots_asked == expected
    StageVersion.objects.update(cpus=1, slots="offsite")
    assert wanted_of(Submission.objects.get(pk=submission.pk)).slots == expected


@pytest.mark.django_db
def test_a_batch_of_one_value_wants_what_is_laid_over_for_it(cast):
    builders.approved_campaign(cast, text_of(SAID))
    planning.plan_some()
    first = Batch.objects.earliest("pk")
    units = list(first.units.all())
    Submission.objects.filter(batch=first).update(state="failed")
    Batch.objects.filter(pk=first.pk).update(label="calib")
    again = preparing.intend(
        Batch.objects.get(pk=first.pk), units, kind="recovery", round_number=1, reason_key="x", actor="user:x",
        reason="to see", avoid=["n7"],
    )  # fmt: skip
    slots = wanted_of(again).slots
    assert (slots.cpus, slots.gpus, slots.kinds, slots.sites, slots.avoid_nodes) == (2, 1, ("offsite",), (), ("n7",))


@pytest.mark.django_db
def test_an_attempt_of_before_wants_one_core_anywhere(cast):
    builders.approved_campaign(cast, text_of())
    planning.plan_some()
    submission = Submission.objects.earliest("pk")
    del submission.jobs_file["slots"]
    assert wanted_of(submission).slots == Slots(memory_mb=200, wall_s=60)
