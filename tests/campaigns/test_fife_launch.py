"""Configurations of fife_launch: read as ConfigParser reads them, staged, checked; whatever comes, only complaints."""

from __future__ import annotations

import configparser
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import fife_launch
from campaigns.definition import parse
from tests.effort import FIVE_SECONDS, effort

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
real = pytest.mark.skipif(not CASES.is_dir(), reason="the real files are not beside the project")

TEXT = """[global]
group = demo
release = v1
tag = %(release)s_x
dataset = raw

[env_pass]
OWN = %(tag)s

[submit]
G = %(group)s
memory = 2GB
dataset = none
e = A
e_1 = B

[job_setup]
setup_1 = one %(version)s

[executable]
name = run
arg_1 = --tag %(tag)s

[stage_gen]
submit.memory = 3GB
global.version = 7

[stage_reco]
parent = gen
global.release = v2
job_setup.setup_1 = two
"""


def read(text: str = TEXT, **included: str) -> fife_launch.Configuration:
    return fife_launch.read(text, included, "main.cfg")


def shown(staged: fife_launch.Staged) -> dict[str, str | None]:
    return {f"{s.section}.{s.key}": s.filled.text for s in staged.settings}


def said(problems) -> list[tuple[str, str]]:
    return [(problem.field, problem.hint) for problem in problems]


def test_a_stage_sets_what_it_says_after_its_parents_and_an_override_comes_last():
    found = read()
    assert (found.errors, found.warnings, found.stages) == ([], [], ["gen", "reco"])
    gen, reco = fife_launch.stages(found)
    assert (gen.problems, reco.problems) == ([], [])
    assert shown(gen)["submit.memory"] == "3GB"
    assert shown(gen)["job_setup.setup_1"] == "one 7"
    assert [(s.section, s.key, s.entry.place) for s in reco.overrides] == [
        ("submit", "memory", "stage_gen: main.cfg line 25"), ("global", "version", "stage_gen: main.cfg line 26"),
        ("global", "release", "stage_reco: main.cfg line 30"), ("job_setup", "setup_1", "stage_reco: main.cfg line 31"),
    ]  # fmt: skip
    assert shown(reco)["env_pass.OWN"] == "v2_x"
    over = fife_launch.staged(found, ["reco"], [("global", "release", "v3"), ("submit", "N", "4")])
    assert (shown(over)["executable.arg_1"], shown(over)["submit.N"]) == ("--tag v3_x", "4")
    assert [s.entry.place for s in over.overrides][-2:] == ["-O", "-O"]


def test_a_key_of_global_is_taken_in_every_section_as_fife_launch_does():
    now = fife_launch.staged(read(), [])
    assert shown(now)["submit.dataset"] == "raw"
    dataset = next(s for s in now.settings if (s.section, s.key) == ("submit", "dataset"))
    assert dataset.entry.place == "main.cfg line 5"
    told = fife_launch.check(read(), [("-c ", "x"), ("-Osubmit.dataset=", "mine"), ("-Oglobal.version=", "1")])
    assert said(told) == [("-Osubmit.dataset", "-Oglobal.dataset=…")]


def test_an_included_file_comes_after_the_one_that_includes_it():
    base = "[global]\nhome = base\ngroup = other\n"
    found = read(TEXT.replace("[global]", "[global]\nhome = base\nincludes = %(home)s.cfg more.cfg"),
                 **{"base.cfg": base, "/elsewhere/more.cfg": "[stage_more]\nsubmit.memory = 9GB\n"})  # fmt: skip
    assert (found.errors, found.missing) == ([], [])
    assert found.sections["global"].entries["group"] == fife_launch.Entry("other", "base.cfg", 3)
    assert found.stages == ["gen", "reco", "more"]


def test_files_that_include_each_other_are_read_once_and_an_absent_one_is_named():
    found = fife_launch.read("[global]\nincludes = b a c\n", {"b": "[global]\nincludes = a\n", "c": "[x]\n"}, "a")
    assert (found.errors, list(found.sections)) == ([], ["global", "x"])
    lost = fife_launch.read("[global]\nincludes = c\n")
    assert lost.missing == ["c"]
    assert [(p.field, p.message, p.line) for p in lost.errors] == [
        ("[global] includes", "the included c is not here", 2)
    ]
    many = fife_launch.read("[global]\nincludes = " + " ".join(f"f{n}" for n in range(99)) + "\n", {})
    assert many.errors[-1].message == f"more than {fife_launch.MOST_FILES} files"


@pytest.mark.parametrize(
    ("change", "field", "hint", "line"),
    [
        (("memory = 2GB", "memory 2GB"), "[submit]", "a value goes on indented", 12),
        (("memory = 2GB", "G = x"), "[submit]", "keep one, or number them: setup_1, setup_2", 12),
        (("[env_pass]", "[submit]"), "[submit]", "join the two", 10),
        (("[env_pass]", "[DEFAULT]"), "[DEFAULT]", "use [global]", 7),
        (("[global]", "x = 1"), "main.cfg", "begin with [global]", 1),
    ],
)  # fmt: skip
def test_what_configparser_refuses_is_a_complaint_with_its_line(change, field, hint, line):
    problem = read(TEXT.replace(*change, 1)).errors[0]
    assert (problem.field, problem.hint, problem.line) == (field, hint, line)


def test_a_section_that_nothing_reads_is_told():
    assert said(read(TEXT.replace("[submit]", "[sumbit]")).warnings) == [("[sumbit]", "did you mean submit?")]


@pytest.mark.parametrize(
    ("change", "stage", "field", "hint"),
    [
        (("submit.memory = 3GB", "sumbit.memory = 3GB"), "gen", "[stage_gen] sumbit.memory", "did you mean submit?"),
        (("submit.memory = 3GB", "memory = 3GB"), "gen", "[stage_gen] memory", "write section.key = value"),
        (("parent = gen", "parent = gne"), "reco", "[stage_reco] parent", "did you mean gen?"),
        (("parent = gen", "parent = reco"), "reco", "[stage_reco] parent", "leave it out"),
    ],
)  # fmt: skip
def test_a_stage_that_sets_what_is_not_there_is_told(change, stage, field, hint):
    assert said(fife_launch.staged(read(TEXT.replace(*change)), [stage]).problems) == [(field, hint)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("--stage ", "gen")], []),
        ([("--stage=", "gen"), ("-O", "submit.memory=1GB"), ("--override ", "env_pass.NEW=1")], []),
        ([("--stage ", "gen"), ("-Osubmit.N=", "1"), ("-Ojob_setup.setup_2=", "x")], []),
        ([("--stage ", "reko"), ("-Oglobal.version=", "%(v)s")], [("--stage reko", "did you mean reco?")]),
        ([("--stage ", "gen"), ("-Oglobl.x=", "1")], [("-Oglobl.x", "did you mean global?")]),
        ([("--stage ", "gen"), ("-Osubmit.memroy=", "1")], [("-Osubmit.memroy", "did you mean memory?")]),
        ([("--stage ", "gen"), ("-Oglobal.relaese=", "1")], [("-Oglobal.relaese", "did you mean release?")]),
        ([("-Oglobal.versoin=", "1")], [
            ("-Oglobal.versoin", "did you mean version?"), ("[job_setup] setup_1", "did you mean versoin?"),
        ]),
        ([], [("[job_setup] setup_1", "-Oglobal.version=…, or set it in [global]")]),
        ([("--stage ", "gen"), ("-Ofoo", "")], [("-Ofoo", "write -Osection.key=value")]),
        ([("--stage ", "gen"), ("-Ostage_gen.submit.N=", "1")], [("-Ostage_gen.submit.N", "set the key itself: -Osubmit.N=…")]),
        ([("--stage ", "gen"), ("word", "")], [("parameters", "a blank at the end of a key parts it from its value")]),
        ([("--stage ", "gen"), ("-Osubmit.memory=", "override_me")], [("-Osubmit.memory", "set it with -O or in a stage")]),
        ([("--stage ", "gen"), ("-Osubmit.memory=", "50%% of it")], [("-Osubmit.memory", "write %% for a percent sign")]),
    ],
)  # fmt: skip
def test_parameters_are_held_against_the_configuration(pairs, expected):
    assert said(fife_launch.check(read(), [("-c ", "main.cfg"), *pairs])) == expected


def test_a_command_that_fife_launch_would_refuse_is_told():
    told = [p.message for p in fife_launch.check(read(), [("--nonsense", "")], script="fife_launch -c x")]
    assert told[0] == "fife_launch would say: no such option: --nonsense"
    assert "fife_launch needs a configuration" in {p.message for p in fife_launch.check(read(), [("--stage ", "gen")])}
    assert "cannot be split" in fife_launch.check(read(), [], script='fife_launch "')[0].message
    assert [p.field for p in fife_launch.check(read("[global]\n"), [("-c ", "x")])] == ["[submit]", "[executable]"]
    assert fife_launch.launches("/usr/bin/fife_launch -c x") and not fife_launch.launches("other_launch")
    assert not fife_launch.launches('"') and not fife_launch.launches("")


def test_words_of_the_campaign_are_filled_in_before_fife_launch_reads_them():
    words = {"stage": "gen"}
    assert fife_launch.check(read(), [("-c ", "x"), ("--stage ", "%(stage)s")], words=words) == []
    assert fife_launch.asked([("-c ", "%(base)s/f.cfg")]).configuration == "<base>/f.cfg"


# --- As ConfigParser --------------------------------------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        st.sampled_from(["[global]", "[submit]", "[a]b]x", "[]", "# x", ";", "", " ", "  more = 1", "\tgoes on", "x", "= 1"]),
        st.text(alphabet="ab =:%#;[]() \t", max_size=12),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(LINES)
def test_what_is_read_is_what_configparser_reads(lines):
    text = "\n".join(lines)
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says to do
    found = fife_launch.read(text)
    try:
        parser.read_file(io.StringIO(text))
    except configparser.Error:
        assert found.errors
        return
    assert not [p for p in found.errors if "DEFAULT" not in p.field]
    assert {name: {k: e.value for k, e in s.entries.items()} for name, s in found.sections.items()} == {
        name: dict(parser.items(name, raw=True)) for name in parser.sections()
    }


VALUES = st.lists(st.sampled_from(["%(a)s", "%(b)s", "%(c)s", "%(no)s", "%%", "%", "x", "(", " "]), max_size=4).map(
    "".join
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_what_is_filled_in_is_what_configparser_fills_in(everywhere, own):
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in (("global", everywhere), ("submit", own))
    )
    parser = configparser.ConfigParser()
    parser.read_string(text)
    now = fife_launch.staged(fife_launch.read(text), [])
    try:
        known = dict(parser.items("global"))
    except configparser.Error:
        assert [s for s in now.settings if s.section == "global" and s.filled.text is None]
        return
    for setting in now.settings:
        try:
            expected = parser.get(setting.section, setting.key, vars=known if setting.section == "submit" else None)
        except configparser.Error:
            assert setting.filled.text is None
        else:
            assert setting.filled.text == expected


# --- Whatever comes ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from([
    "[global]\n", "[stage_a]\n", "[stage_b]\n", "[submit]\n", "parent = b, a\n", "parent = %(x)s\n", "submit.x = %(y)s\n",
    "includes = a b %(x)s\n", "[global_eval]\n", "x = %(x)s%%%\n", "y: z\n", ".= 1\n", "a. = 1\n", "%(\n", " \x00\n", "[\n",
])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join))
PAIRS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["--stage ", "-O", "-Osubmit.x=", "-c ", "--override=", "-h", "--", "-"]), st.text(max_size=8)),
        st.one_of(st.sampled_from(["a", "global.x=%", "stage_a.x=1", "=.", "%(x)s"]), st.text(max_size=8)),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    TEXTS, st.dictionaries(st.sampled_from("ab"), TEXTS), PAIRS, st.one_of(st.just("fife_launch"), st.text(max_size=12))
)
def test_whatever_comes_there_are_only_complaints(text, included, pairs, script):
    found = fife_launch.read(text, included)
    for staged in fife_launch.stages(found, [("submit", "x", "%(y)s")]):
        assert all(p.message for p in staged.problems)
    for problem in (*found.errors, *found.warnings, *fife_launch.check(found, pairs, script=script)):
        assert problem.field and problem.message


def laughs(levels: int, times: int) -> str:
    lines = [f"x{n} = " + f"%(x{n + 1})s" * times for n in range(levels)]
    return "\n".join(["[global]", *lines, f"x{levels} = ha", "[stage_a]", "global.z = %(x0)s", ""])


@pytest.mark.parametrize(
    "text",
    [
        "[global]\n" + "x = 1\n" * 10_000_000,
        "[global]\nx = " + "y" * 50_000,
        laughs(9, 1000),
        laughs(4000, 1),
        "[global]\n" + "".join(f"k{n} = {'%(big)s' * 100}\n" for n in range(300)) + "big = " + "y" * 600 + "\n",
        "[global]\nx = %(x)s\n[stage_a]\nglobal.y = %(x)s\n",
        "[global]\n" + ("a" + " " * 30_000 + "b\n") * 8,
        "[global]\n" + "x = " + "%(" * 10_000 + "\n",
        "".join(f"[stage_{n}]\nsubmit.a{n} = 1\nparent = {n + 1}\n" for n in range(3000)),
        "".join(f"[stage_{n}]\nglobal.a{n} = 1\n" for n in range(3000)) + "[global]\nx = 1\n",
        "[global]\n" + "".join(f"k{n} = %(no{n})s\n" for n in range(9000)),
        "".join(f"[section{n}]\n" for n in range(9000)),
        "[global]\n" + "x\n" * 9000,
        "[submit]\n[stage_a]\n" + "".join(f"part{n}.x = 1\n" for n in range(9000)),
        "[global]\nincludes = " + "%(y)s " * 3000 + "\ny = " + "f " * 3000 + "\n",
    ],
    ids=["50 MB", "a long line", "a billion laughs", "a long chain", "much together", "itself", "blanks", "half references",
         "4000 parents", "many stages", "many names", "many sections", "many slips", "many parts", "many files"],
)  # fmt: skip
def test_what_would_take_for_ever_is_refused_at_once(text):
    told = []

    def look() -> None:
        found = fife_launch.read(text)
        all_stages = list(fife_launch.stages(found))
        told.extend([*found.errors, *found.warnings, *fife_launch.check(found, [("-c ", "x"), ("--stage ", "a")])])
        told.extend(p for staged in all_stages for p in staged.problems)

    assert effort(look) < FIVE_SECONDS
    assert told


# --- Real files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mu2e() -> fife_launch.Configuration:
    texts = {path.name: path.read_text() for path in sorted((CASES / "fife_cfg").glob("mu2e_mdc2020_*.cfg"))}
    return fife_launch.read(f"[global]\nincludes = {' '.join(texts)}\n", texts, "main.cfg")


@real
def test_the_real_files_are_read_whole(mu2e):
    assert (mu2e.errors, mu2e.warnings, len(mu2e.stages)) == ([], [], 20)
    told = {staged.name: staged.problems for staged in fife_launch.stages(mu2e) if staged.problems}
    assert list(told) == ["stage1_combined"], "the prolog has no [prelaunch]"
    prolog = mu2e.sections["submit"].entries["lines"]
    assert prolog.value == "'+PeriodicRemove=(CurrentTime-EnteredCurrentStatus)>100&&JobStatus==5'"
    assert prolog.place == "mu2e_mdc2020_prolog.cfg line 56"


@real
@pytest.mark.parametrize("path", sorted((CASES / "fife_cfg").glob("*.cfg")), ids=lambda path: path.stem)
def test_each_real_file_reads_as_configparser_reads_it(path):
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says to do
    parser.read(path)
    found = fife_launch.read(path.read_text())
    assert {name: {k: e.value for k, e in s.entries.items()} for name, s in found.sections.items()} == {
        name: dict(parser.items(name, raw=True)) for name in parser.sections()
    }
    for name, section in found.sections.items():
        for key, entry in section.entries.items():
            assert key in path.read_text().splitlines()[entry.line - 1], f"[{name}] {key}"


@real
def test_the_real_watchdog_says_which_file_it_lacks():
    text = (CASES / "fife_cfg" / "mu2e_watchdog.cfg").read_text()
    lost = fife_launch.read(text)
    assert (lost.stages, len(lost.missing)) == (["watchdog"], 1)
    prolog = (CASES / "fife_cfg" / "mu2e_mdc2020_prolog.cfg").read_text()
    found = fife_launch.read(text, {"here/mdc2020_prolog.cfg": prolog})
    assert found.errors == []
    told = fife_launch.check(found, [("-c ", "x"), ("--stage ", "watchdog"), ("-Oglobal.release_v_o=", "af")])
    assert told == []


@real
def test_a_real_campaign_is_held_against_the_real_files(mu2e):
    parsed = parse((CASES / "poms_ini" / "mdc2020_primary.ini").read_text())
    kinds = {entry.name: entry for entry in parsed.definition.job_types}
    for stage in parsed.definition.stages:
        kind = kinds[stage.job_type]
        told = fife_launch.check(mu2e, [*kind.parameters, *stage.params], script=kind.launch_script)
        assert {p.field for p in told} >= {"-Oglobal.num_jobs", f"--stage {stage.name}"}
