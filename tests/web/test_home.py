"""Home: what waits for each role, in every experiment that one may see, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.logic import deciding, filing
from approvals.models import Request
from core.clock import now
from experiments.logic import membership
from experiments.scoping import held_on
from poms_site.overview.waiting import MOST, waiting_for
from submissions.logic import holding
from submissions.models import Batch, Hold
from tests import builders

pytestmark = pytest.mark.django_db


def waits(person, experiment):
    """Return what waits for somebody, as state and reference."""
    found = waiting_for(person, experiment, held_on(person, experiment))
    return [(thing.state, thing.ref.rpartition("/")[2]) for thing in found]


@pytest.fixture
def keys(world):
    names = ("draft", "pending", "like", "reading", "campaign", "unsure", "signing", "again")
    return {name: world.own.ref(name).rpartition("/")[2] for name in names}


def test_each_role_is_told_what_it_can_do_something_about(world, cast, keys):
    judged = [("held", keys["signing"]), ("equal", keys["again"])]
    stuck = [("failed", keys["campaign"]), ("held", keys["campaign"])]
    expected = {
        "experimenter": [("draft", keys["draft"])],
        "approver": [("pending_approval", keys[name]) for name in ("pending", "like", "reading")] + judged,
        "operator": [("unsure", keys["unsure"]), *stuck],
        "shifter": stuck,
        "analyser": [], "reviewer": judged, "service_provider": [], "supervisor": [], "guest": [], "administrator": [],
        "stranger": [], "nobody": [],
    }  # fmt: skip
    assert {who: waits(person, cast.experiment) for who, person in cast.people.items()} == expected


def test_home_shows_what_waits_and_nothing_of_elsewhere(world, cast, as_, text):
    for who in ("experimenter", "approver", "operator", "shifter", "supervisor"):
        said = text(as_(cast.people[who]).get("/"))
        things = waiting_for(cast.people[who], cast.experiment, held_on(cast.people[who], cast.experiment))
        assert all(thing.ref in said and thing.todo in said for thing in things), who
        assert ("Nothing waits for you." in said) == (not things)
        assert who == "supervisor" or world.other.ref("campaign") not in said
    guest = as_(cast.guest).get("/").content.decode()
    main = guest[guest.index("<main") : guest.index("</main>")]
    assert 'href="/e/demo/"' in main
    assert "/e/other/" not in guest
    assert "no experiment yet; ask an administrator" in text(as_(cast.nobody).get("/"))
    stranger = as_(cast.stranger).get("/").content.decode()
    assert world.other.ref("draft") in stranger
    assert "/e/demo/" not in stranger


def test_a_returned_request_waits_for_its_author_before_a_draft(world, cast, keys):
    row = world.own.objects["pending"]
    deciding.send_back(row, by=cast.approver, reason="no")
    assert waits(cast.experimenter, cast.experiment) == [("returned", keys["pending"]), ("draft", keys["draft"])]
    assert ("pending_approval", keys["pending"]) not in waits(cast.approver, cast.experiment)


def test_a_request_waits_only_for_those_who_are_registered_for_its_stage(world, cast):
    membership.register_approver(cast.operator, cast.experiment, "reprocessing")
    assert [state for state, _ in waits(cast.operator, cast.experiment)].count("pending_approval") == 0
    colleague = cast.analyser
    membership.join(colleague, "approver", cast.experiment)
    membership.register_approver(colleague, cast.experiment, "mc")
    assert ("pending_approval", world.own.ref("pending").rpartition("/")[2]) in waits(colleague, cast.experiment)


def test_the_most_urgent_request_waits_first(cast):
    rows = [builders.request(cast, builders.definition(campaign=f"p{n}"), priority=n) for n in (10, 90, 50)]
    for row in rows:
        filing.file(row, by=cast.experimenter)
    assert [ref for _, ref in waits(cast.approver, cast.experiment)] == [f"r{rows[n].pk}" for n in (1, 2, 0)]


def test_a_hold_waits_until_it_is_released_or_over(world, cast, keys):
    hold = world.own.objects["hold"]
    assert ("held", keys["campaign"]) in waits(cast.shifter, cast.experiment)
    Hold.objects.filter(pk=hold.pk).update(until=now() - timedelta(seconds=1))
    assert ("held", keys["campaign"]) not in waits(cast.shifter, cast.experiment)
    Hold.objects.filter(pk=hold.pk).update(until=None)
    holding.release(hold, actor="user:shifter", reason="done")
    assert ("held", keys["campaign"]) not in waits(cast.shifter, cast.experiment)


def test_a_campaign_waits_while_batches_of_it_have_failed(world, cast, keys):
    Batch.objects.filter(pk=world.own.objects["broken"].pk).update(**{"state": "completed"})
    assert ("failed", keys["campaign"]) not in waits(cast.shifter, cast.experiment)


def test_at_most_so_many_of_a_kind_are_shown(cast):
    builders.login_setup(cast)
    Request.objects.bulk_create(
        Request(experiment=cast.experiment, requester=cast.experimenter, title=f"t{n}", production_stage="mc")
        for n in range(MOST + 5)
    )
    assert len(waits(cast.experimenter, cast.experiment)) == MOST


def test_the_overview_of_a_guest_shows_how_far_and_leads_nowhere_closed(world, cast, as_):
    page = as_(cast.guest).get("/e/demo/").content.decode()
    campaign = world.own.objects["campaign"]
    assert campaign.name in page
    assert f"/e/demo/campaigns/c{campaign.pk}/" not in page
    assert f"/e/demo/campaigns/c{campaign.pk}/" in as_(cast.experimenter).get("/e/demo/").content.decode()
