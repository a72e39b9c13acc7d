"""Contracts over all models: scoped to experiments, no way up the floors, states moved by the engine only."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db import models
from django.test.utils import isolate_apps

from campaigns.models import Campaign
from experiments.models import Experiment, User
from experiments.scoping import Scoped
from submissions.models import Batch
from tests.contracts import checks

# guardian's own tables of grants: nothing reads them but the root of access itself (experiments.scoping).
GUARDIANS = {"ExperimentUserPermission", "ExperimentGroupPermission"}
# The one statement that writes jobs, and the engine (design 4, 5).
MAY_WRITE_STATES = {"core/transitions.py", "submissions/logic/merging.py"}
# These never open our database: the batch daemon keeps its own book, the shim runs on another host.
OTHER_PROGRAMS = ("integrations/batch/local_daemon/", "integrations/launcher/shim.py")
# `submission.state = …` here copies into memory what the locked row says; it is never saved.
COPIES = {("submissions/logic/settling.py", "submission.state")}


def sources() -> list[Path]:
    base = Path(settings.BASE_DIR)
    found = [path for name in (*checks.APPS, "poms_site") for path in sorted((base / name).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


def test_every_model_with_an_experiment_is_scoped():
    judged = [model for model in checks.our_models() if model.__name__ not in GUARDIANS]
    assert checks.unscoped_models(judged) == []
    assert sum(checks.leads_to_experiment(model) for model in judged) > 25


def test_every_path_to_the_experiment_leads_there():
    assert checks.dead_paths(checks.our_models()) == []


@pytest.mark.django_db
def test_every_scoped_model_can_be_asked_for_what_somebody_sees(cast):
    for model in checks.our_models():
        if hasattr(getattr(model, "objects", None), "visible_to"):
            assert list(model.objects.visible_to(cast.nobody)) == [], model.__name__


def test_no_relation_can_be_followed_up_the_floors():
    assert checks.reaching_up(checks.our_models()) == []


@isolate_apps("submissions", "campaigns")
def test_planted_models_are_found():
    class Unscoped(models.Model):
        campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "submissions"

    class Lost(Scoped):
        EXPERIMENT_PATH = "batch__nothing_id"
        batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "submissions"

    class Astray(Scoped):
        EXPERIMENT_PATH = "batch_id"
        batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "submissions"

    class Reaching(Scoped):
        experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE)
        who = models.ForeignKey(User, on_delete=models.CASCADE, related_name="reachings")
        campaigns = models.ManyToManyField(Campaign, related_name="reachings")
        batch = models.ForeignKey(Batch, on_delete=models.CASCADE)

        class Meta:
            app_label = "submissions"

    planted = [Unscoped, Lost, Astray, Reaching]
    assert checks.unscoped_models(planted) == ["Unscoped: belongs to an experiment, but its manager has no visible_to"]
    lost, astray = checks.dead_paths(planted)
    assert lost.startswith("Lost: EXPERIMENT_PATH batch__nothing_id leads nowhere")
    assert astray.startswith("Astray: EXPERIMENT_PATH batch_id ends at")
    assert [text.partition(":")[0] for text in checks.reaching_up(planted)] == [
        "Reaching.experiment", "Reaching.who", "Reaching.campaigns",
    ]  # fmt: skip


def test_only_the_engine_writes_states():
    base = Path(settings.BASE_DIR)
    wrong = []
    for path in sources():
        name = path.relative_to(base).as_posix()
        if name in MAY_WRITE_STATES or name.startswith(OTHER_PROGRAMS):
            continue
        copied = {target for file, target in COPIES if file == name}
        wrong += [text for text in checks.state_writes(path) if text.rpartition(" ")[2] not in copied]
    assert wrong == []


def test_the_engine_itself_would_be_found():
    base = Path(settings.BASE_DIR)
    for name in MAY_WRITE_STATES:
        assert checks.state_writes(base / name), f"{name} writes states, but the check is blind to it"


@pytest.mark.parametrize(
    "text",
    [
        "batch.state = 'failed'",
        "a.b, job.state_code = 1, 2",
        "Batch.objects.filter(pk=1).update(done=1, state='failed')",
        "rows.update(state_code=3)",
        "Batch.objects.bulk_update(rows, ['done', 'state'])",
        "batch.save(update_fields=['state'])",
        "cursor.execute('UPDATE submissions_batch SET done = 1, state = %s WHERE id = 1')",
        "cursor.execute(f'''UPDATE {table} b\n   SET state='x' FROM y''')",
    ],
)
def test_a_planted_write_of_a_state_is_found(tmp_path, text):
    path = tmp_path / "planted.py"
    path.write_text(text)
    assert len(checks.state_writes(path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Batch.objects.filter(state='failed').update(done=1)",
        "found[row.state] = 1",
        "'UPDATE x SET look_at = now() WHERE state = 1'",
        "batch.save(update_fields=['done'])",
        "if batch.state == 'failed': pass",
    ],
)
def test_reading_a_state_is_no_write(tmp_path, text):
    path = tmp_path / "planted.py"
    path.write_text(text)
    assert checks.state_writes(path) == []
