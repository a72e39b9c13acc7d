"""Texts that nobody has to approve yet: kept even when unfinished, one revision a save, nobody's save lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from approvals.logic import filing
from campaigns import queries
from campaigns.definition import changing
from campaigns.logic import drafting, editing
from campaigns.models import Campaign, Revision
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from tests import builders

pytestmark = pytest.mark.django_db
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "poms_ini"
UNFINISHED = """# begun by hand
[campaign]
experiment=demo
name=begun
[campaign_stage gen]
job_type=nosuch
their_own=kept
[node_positions]
nxy0=["gen", 5, 6]
"""


def imported(cast, text=UNFINISHED, who="experimenter", **more) -> Revision:
    looked = drafting.look(cast.experiment, text, by=cast.people[who], **more)
    return drafting.import_text(cast.experiment, looked, by=cast.people[who])


def test_an_unfinished_text_is_kept_as_it_is_with_what_it_lacks(cast):
    looked = drafting.look(cast.experiment, UNFINISHED, by=cast.experimenter)
    assert not Campaign.objects.exists()
    assert {"[campaign_stage gen] job_type", "[campaign_stage gen] login_setup"} <= {
        p.field for p in looked.parsed.errors
    }
    revision = drafting.import_text(cast.experiment, looked, by=cast.experimenter, note="from the old system")
    assert (revision.number, revision.state, revision.source) == (1, "draft", UNFINISHED)
    campaign = revision.campaign
    assert (campaign.name, campaign.state, campaign.owner) == ("begun", "new", cast.experimenter)
    assert [step.verb for step in Transition.objects.filter(kind="revision")] == ["create"]


@pytest.mark.parametrize("text", ["", "name=x", "[campaign]\nexperiment=demo\n[campaign_stage a]", "[campaign]\nname=x",
                                  "[campaign]\nname=x\nname=y\n[campaign_stage a]", "x" * 50_000_000])  # fmt: skip
def test_what_is_no_definition_is_refused_whole(cast, text):
    with pytest.raises(Refused, match="no definition"):
        drafting.look(cast.experiment, text, by=cast.experimenter)
    assert not Campaign.objects.exists()


@pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not beside the project")
@pytest.mark.parametrize("name", sorted(p.name for p in CASES.glob("*.ini")) if CASES.is_dir() else [])
def test_every_real_file_is_imported_and_exported_byte_for_byte(cast, name):
    text = (CASES / name).read_text().replace("experiment = mu2e", "experiment = demo")
    if "[campaign]" not in text:
        with pytest.raises(Refused) as refusal:
            imported(cast, text)
        assert refusal.value.problems[0].message == "there is no [campaign] section"
        return
    once = imported(cast, text)
    assert once.source == text
    again = imported(cast, once.source, name=f"{once.campaign.name}-again")
    assert imported(cast, again.source, name=once.campaign.name + "-third").campaign != again.campaign
    back = changing.set_value(again.source, "campaign", "", "name", once.campaign.name)
    assert back == changing.set_value(text, "campaign", "", "name", once.campaign.name)


def test_the_same_name_is_the_next_revision_and_shows_what_is_different(cast):
    first = imported(cast)
    text = UNFINISHED.replace("job_type=nosuch", "job_type=other")
    looked = drafting.look(cast.experiment, text, by=cast.experimenter)
    assert looked.campaign == first.campaign
    assert [line for line in looked.difference if line[:1] in "+-"] == ["-job_type=nosuch", "+job_type=other"]
    second = drafting.import_text(cast.experiment, looked, by=cast.experimenter)
    assert (second.campaign, second.number) == (first.campaign, 2)
    with pytest.raises(Refused, match="Nothing is different"):
        imported(cast, text)


def test_of_two_who_save_at_once_the_second_is_asked_and_loses_nothing(cast):
    first = imported(cast, who="operator")
    mine = changing.set_value(UNFINISHED, "campaign_stage", "gen", "events", "5")
    theirs = changing.set_value(UNFINISHED, "campaign_stage", "gen", "memory_mb", "900")
    drafting.save(first.campaign, theirs, by=cast.operator, base=1)
    with pytest.raises(Conflict, match="operator saved revision 2 after you opened revision 1"):
        drafting.save(first.campaign, mine, by=cast.operator, base=1)
    joined, last = drafting.join(first.campaign, mine, 1)
    assert (joined.conflicts, last.number) == ((), 2)
    third = drafting.save(first.campaign, joined.text, by=cast.operator, base=last.number)
    assert "events=5" in third.source
    assert "memory_mb=900" in third.source
    back = drafting.restore(first.campaign, 1, by=cast.operator, base=3)
    assert (back.number, back.source, back.note) == (4, UNFINISHED, "as revision 1")
    with pytest.raises(Refused):
        drafting.restore(first.campaign, 99, by=cast.operator)


def test_who_may_save(cast):
    revision = imported(cast)
    for who in ("guest", "shifter", "reviewer"):
        with pytest.raises(NotAllowed):
            imported(cast, who=who)
    with pytest.raises(NotAllowed, match=r"experimenter's.*operator"):
        drafting.save(revision.campaign, UNFINISHED + "\n", by=cast.analyser)
    drafting.save(revision.campaign, UNFINISHED + "\n", by=cast.operator)


def test_a_draft_that_is_filed_becomes_what_is_proposed(cast):
    builders.login_setup(cast)
    text = builders.definition()
    draft = imported(cast, text)
    assert draft.state == "draft"
    revision = editing.propose(draft.campaign, text, author=cast.experimenter)
    assert (revision.pk, revision.number, revision.state) == (draft.pk, 1, "proposed")
    assert revision.stage_versions.exists()
    other = editing.propose(draft.campaign, text.replace("seed=7", "seed=8"), author=cast.experimenter)
    assert other.number == 2


def test_the_experiment_says_what_every_stage_begins_with(cast):
    editing.keep_defaults(cast.experiment, by=cast.operator, text="memory_mb=3333\nsoftware_version=v9")
    request = filing.file(builders.request(cast, builders.definition()), by=cast.experimenter)
    version = request.revision.stage_versions.first()
    assert version.software_version == "v9"
    assert "software_version=v9" in request.revision.text
    defaults = queries.defaults_of(cast.experiment)
    assert defaults == {"memory_mb": "3333", "software_version": "v9"}
    for wrong in ("memory_mb=many", "[campaign]", "nonsense", "unheard=1"):
        with pytest.raises(Refused):
            editing.keep_defaults(cast.other, by=cast.operator, text=wrong)
