"""Templates: used in an experiment, common ones in every experiment, made of campaigns."""

from __future__ import annotations

import pytest

from approvals.logic import cloning, customising, templating
from approvals.models import Template
from approvals.queries import template_named, templates_for
from campaigns.models import Campaign
from core.errors import Conflict, NotAllowed, Refused
from tests import builders

pytestmark = pytest.mark.django_db
PARAMETERS = "run | which one\nevents = 3"


@pytest.fixture(autouse=True)
def setup(cast) -> None:
    builders.login_setup(cast)


def kept(cast, name="reco", by=None, **more) -> Template:
    text = builders.definition(campaign="reco-{{run}}").replace("events=4", "events={{events}}")
    values = {"title": "Reconstruct", "definition": text, "parameters": PARAMETERS, "production_stage": "mc", **more}
    return customising.keep_template(cast.experiment, name, by=by or cast.operator, reason="needed", **values)


def test_a_template_makes_a_draft_campaign(cast):
    made = templating.instantiate(kept(cast), cast.experiment, by=cast.experimenter, given={"run": "7", "events": "5"})
    assert (made.campaign.name, made.state, made.note) == ("reco-7", "draft", "from the template reco")
    assert "events=5" in made.source
    assert "{{" not in made.source
    with pytest.raises(Conflict, match="reco-7"):
        templating.instantiate(kept(cast, "again"), cast.experiment, by=cast.experimenter, given={"run": "7"})
    assert Campaign.objects.count() == 1


def test_what_is_not_given_is_asked_for(cast):
    with pytest.raises(Refused) as refused:
        templating.instantiate(kept(cast), cast.experiment, by=cast.experimenter, given={"rum": "7"})
    assert [(p.field, p.hint) for p in refused.value.problems] == [("rum", "did you mean run?"), ("run", "which one")]


def test_a_template_that_cannot_be_read_when_it_is_filled_in_is_refused(cast):
    for more in (
        {"definition": "[campaign]\n{{run}}"}, {"parameters": ""}, {"parameters": PARAMETERS + "\nunused"},
        {"parameters": "9"},
    ):  # fmt: skip
        with pytest.raises(Refused):
            kept(cast, **more)
    row = kept(cast)
    with pytest.raises(Refused):
        customising.change_template(row, by=cast.operator, reason="so", parameters="run")


def test_a_common_template_is_everybodys_and_an_administrators_to_make(cast):
    row = kept(cast)
    with pytest.raises(NotAllowed):
        customising.publish(row, True, by=cast.operator, reason="all need it")
    assert list(templates_for(cast.other)) == []
    row = customising.publish(row, True, by=cast.administrator, reason="all need it")
    assert list(templates_for(cast.other)) == [row]
    made = templating.instantiate(row, cast.other, by=cast.stranger, given={"run": "7"})
    assert made.campaign.experiment == cast.other
    assert "experiment=other" in made.source


def test_an_experiments_own_template_goes_before_a_common_one(cast):
    common = customising.publish(kept(cast), True, by=cast.administrator, reason="all need it")
    assert template_named(cast.other, "reco") == common
    own = Template.objects.create(experiment=cast.other, name="reco", title="Own", definition=builders.definition())
    assert template_named(cast.other, "reco") == own
    with pytest.raises(Refused, match="no such template"):
        template_named(cast.other, "roce")


def test_a_request_begins_with_a_template_filled_in(cast):
    template = kept(cast)
    made = cloning.from_template(
        template, cast.experiment, by=cast.experimenter, parameters={"run": "9"}, title="Run 9"
    )
    assert "name=reco-9" in made.definition
    assert made.production_stage == "mc"


def test_a_campaign_becomes_a_template_that_makes_the_same_again(cast):
    campaign = builders.approved_campaign(cast, builders.definition(campaign="spring-2026"))
    source = campaign.revisions.get().source
    row = templating.template_of(campaign, "yearly", by=cast.operator, parameters="year = 2026 | of the data")
    assert "name=spring-{{year}}" in row.definition
    assert templating.text_of(row, cast.experiment, {}) == source
    assert templating.text_of(row, cast.experiment, {"year": "2027"}) == source.replace("2026", "2027")
    with pytest.raises(Refused, match="No template was made"):
        templating.template_of(campaign, "other", by=cast.operator, parameters="year = 1999")
