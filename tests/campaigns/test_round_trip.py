"""Generated definitions: written, read, written again, changed and back, they are the same (design 10).

POMS_EXAMPLES=100000 is the full size; CI tries a few hundred of the same.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import keepup
from campaigns.definition import (
    Definition,
    EdgeText,
    JobTypeText,
    LoginSetupText,
    StageText,
    changing,
    document,
    dump,
    parse,
    yaml_form,
)
from integrations.batch.base import KINDS_OF_SLOTS

EXAMPLES = int(os.environ.get("POMS_EXAMPLES", "60"))
full = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])

# What a line of the text can carry: no line ends, no blanks at its ends.
WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20).map(
    str.strip
)
NAMES = st.text(alphabet="abcxyzÄß019_-. ", min_size=1, max_size=12).map(str.strip).filter(bool)
PLAIN = st.text(alphabet="abc/._-%0 ", max_size=12).map(str.strip)
# Parameters are JSON: anything goes, blanks at their ends count, a doubled % stays doubled.
PARTS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
PAIRS = st.lists(st.tuples(PARTS, PARTS), max_size=3).map(tuple)
SPLITS = st.sampled_from(["None", "nfiles(10)", "nevents(5000)", "drainingn(1000)", "byrun(low=1,high=9)", "list"])
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
SCHEDULES = st.sampled_from(
    ["", "*/5 * * * *", "0 6 1,15 * mon-fri", "@daily", "every 5 s", "every 5 min", "every 24 h"]
)
MOMENTS = st.one_of(
    st.just(""), st.integers(0, 999 * 365 * 24 * 60).map(lambda n: f"{FIRST + timedelta(minutes=n):%Y-%m-%d %H:%M}")
)
COUNTS = st.integers(0, 10**9)
# As they are written best: kinds in their order, sites as they are said, each once.
KINDS = st.lists(st.sampled_from(KINDS_OF_SLOTS), unique=True).map(
    lambda kinds: ", ".join(sorted(kinds, key=KINDS_OF_SLOTS.index))
)
SITES = st.lists(st.sampled_from(["FNAL", "US_BNL", "uk.RAL-1", "7"]), unique=True).map(", ".join)


@st.composite
def stages(draw, name: str) -> StageText:
    return StageText(
        name=name, type=draw(st.sampled_from(["regular", "generator"])), job_type=draw(PLAIN), login_setup=draw(PLAIN),
        dataset=draw(PLAIN.filter(lambda text: text != "None")), split=draw(SPLITS), software_version=draw(WORDS),
        vo_role=draw(WORDS), params=draw(PAIRS), test_params=draw(PAIRS),
        completion_type=draw(st.sampled_from(["located", "complete"])), completion_pct=draw(st.integers(1, 100)),
        events=draw(COUNTS), seed=draw(COUNTS), events_per_job=draw(COUNTS), files_per_job=draw(st.integers(1, 10**6)),
        most_files=draw(COUNTS), memory_mb=draw(st.integers(1, 10**7)), memory_factor=draw(st.sampled_from([1.0, 1.5, 16.0])),
        wall_s=draw(st.integers(1, 10**7)), recovery_rounds=draw(st.integers(0, 20)), schedule=draw(SCHEDULES),
        schedule_zone=draw(st.sampled_from(["UTC", "America/Chicago"])), schedule_start=draw(MOMENTS),
        schedule_end=draw(MOMENTS), catch_up=draw(st.sampled_from(keepup.CATCH_UP)), catch_up_cap=draw(st.integers(1, 1000)),
        overlap=draw(st.sampled_from(keepup.OVERLAP)), latency_objective=draw(st.sampled_from(["", "95% within 24 h", "99.5% within 2 h"])),
        recall_times=draw(SCHEDULES), recall_window=draw(st.integers(1, 1000)), canary=draw(st.integers(0, 100)),
        cpus=draw(st.integers(1, 10_000)), disk_mb=draw(COUNTS), gpus=draw(st.integers(0, 1000)), slots=draw(KINDS),
        sites=draw(SITES), avoid_sites=draw(SITES),
    )  # fmt: skip


@st.composite
def definitions(draw) -> Definition:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    own = tuple(draw(stages(name)) for name in names)
    ends = st.sampled_from(names)
    gates = st.sampled_from(["all", "each", "90%", "5%"])
    edges = draw(st.lists(st.builds(EdgeText, ends, ends, PLAIN.map(lambda text: text or "%"), gates), max_size=5))
    edges.sort(key=lambda edge: names.index(edge.downstream))
    kinds = draw(st.lists(st.builds(JobTypeText, NAMES, WORDS.filter(bool), PAIRS, PLAIN.map(lambda t: t or "%")),
                          max_size=2, unique_by=lambda kind: kind.name))  # fmt: skip
    setups = draw(st.lists(
        st.builds(LoginSetupText, NAMES, PLAIN, PLAIN, WORDS, launcher=st.sampled_from(["local", "ssh"]),
                  batch=st.sampled_from(["local", "fermi-pool", "perlmutter"])),
        max_size=2, unique_by=lambda setup: setup.name,
    ))  # fmt: skip
    return Definition(
        experiment=draw(PLAIN), name=draw(WORDS.filter(bool)), role=draw(PLAIN), state=draw(PLAIN),
        keywords=draw(st.dictionaries(PARTS, PARTS, max_size=3)), stages=own, edges=tuple(edges),
        job_types=tuple(sorted(kinds, key=lambda kind: kind.name)),
        login_setups=tuple(sorted(setups, key=lambda setup: setup.name)),
    )  # fmt: skip


def without_lines(found: Definition) -> Definition:
    parts = {name: tuple(replace(row, line=0) for row in getattr(found, name))
             for name in ("stages", "edges", "job_types", "login_setups")}  # fmt: skip
    return replace(found, positions={}, **parts)


@full
@given(definitions())
def test_what_is_written_is_read_and_written_again(wanted):
    text = dump(wanted)
    parsed = parse(text)
    assert parsed.errors == []
    assert without_lines(parsed.definition) == wanted
    assert dump(parsed.definition) == text
    assert str(document.read(text)) == text


@full
@given(definitions(), st.data())
def test_a_change_and_its_opposite_leave_the_text_as_it_was(wanted, data):
    text = dump(wanted)
    stage = data.draw(st.sampled_from(wanted.stages))
    fresh = "quite another name"
    assert changing.rename_stage(changing.rename_stage(text, stage.name, fresh), fresh, stage.name) == text
    added = changing.add_stage(text, fresh, parent=stage.name)
    assert parse(added).definition.stages[-1].name == fresh
    assert changing.remove_stages(added, [fresh]) == text
    other = changing.set_value(text, "campaign_stage", stage.name, "memory_mb", "123456")
    assert changing.set_value(other, "campaign_stage", stage.name, "memory_mb", str(stage.memory_mb)) == text


@full
@given(definitions())
def test_yaml_says_the_same(wanted):
    text = dump(wanted)
    assert yaml_form.same(document.read(yaml_form.from_yaml(yaml_form.to_yaml(text))), document.read(text))
