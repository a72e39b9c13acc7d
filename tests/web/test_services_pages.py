"""Pages of services, holds and limits, and the answer to why on the pages of what waits."""

from __future__ import annotations

import pytest

from integrations import serving
from poms_site.web import live
from submissions.logic import checking, holding, limiting
from submissions.models import Submission
from tests.submissions.test_line import campaign

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"


def test_pages_say_how_services_are_and_what_is_held(cast, as_, text):
    empty = text(as_(cast.shifter).get("/e/demo/services/"))
    assert "No service is watched yet" in empty and "No hold stands now" in empty
    row = campaign(cast, batches=2)
    service = serving.add(
        cast.experiment, "sam", "none", by=cast.operator, reason=HOSTILE, title="SAM", gates="everything"
    )
    serving.add(None, "pool", "none", by=cast.operator, reason="everybody's", title="Pool")
    checking.override(service, "down", by="user:shifter", reason=HOSTILE)
    limiting.limit("launches", 7, experiment=cast.experiment, actor="user:operator", reason=HOSTILE)
    holding.hold("stage", row.stages.get(), actor="user:shifter", reason="the calibration is wrong")
    for address in ("/e/demo/services/", f"/e/demo/services/v{service.pk}/", "/e/demo/holds/"):
        answer = as_(cast.shifter).get(address)
        assert answer.status_code == 200, address
        assert HOSTILE not in answer.content.decode(), address
    live.forget()  # what the first look made is as good as new for a second
    shown = text(as_(cast.shifter).get("/e/demo/services/"))
    assert "Pool" in shown and "by hand" in shown and "2 holds" in shown and "at most 7 launches a minute" in shown
    held = text(as_(cast.shifter).get("/e/demo/holds/"))
    assert "the calibration is wrong" in held and "what needs SAM" in held and "at most 7" in held
    assert "Remove" not in held and "Remove" in text(as_(cast.operator).get("/e/demo/holds/"))
    assert as_(cast.stranger).get(f"/e/other/services/v{service.pk}/").status_code == 404


def test_what_waits_says_why_on_its_page(cast, as_, text):
    row = campaign(cast, batches=2)
    waiting = Submission.objects.filter(campaign=row).select_related("batch").first()
    holding.hold("campaign", row, actor="user:shifter", reason="the disk is full")
    for address in (f"submissions/s{waiting.pk}", f"batches/b{waiting.batch_id}"):
        shown = text(as_(cast.shifter).get(f"/e/demo/{address}/"))
        assert "Why it does not run" in shown and "the disk is full" in shown, address
