"""Commands: precedence, keywords, arguments byte for byte."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from campaigns.command import argv, environment_of, fill, fill_setup, overlay, words_of


def test_a_later_value_replaces_and_keeps_the_first_place():
    layers = ([("-Oa=", "jt"), ("-Ob=", "jt")], [("-Oa=", "stage"), ("-Od=", "new")])
    assert overlay(*layers) == [("-Oa=", "stage"), ("-Ob=", "jt"), ("-Od=", "new")]


def test_a_key_that_ends_in_a_blank_is_two_arguments():
    assert argv("fife_launch -c 'my cfg'", [("--stage ", "gen"), ("-Oa=", "x y")], {}) == [
        "fife_launch", "-c", "my cfg", "--stage", "gen", "-Oa=x y",
    ]  # fmt: skip


@pytest.mark.parametrize("nasty", ["$(touch x)", "`id`", "a;b", "a'b\"c", "\n", "-rf", "ü€", "a b  c"])
def test_a_value_arrives_byte_for_byte(nasty):
    assert argv("run", [("--x ", nasty)], {}) == ["run", "--x", nasty]


def test_words_are_filled_in_and_a_double_percent_is_one():
    assert fill("%(dataset)s at 95%% of %(version)s", {"dataset": "d", "version": "v"}) == "d at 95% of v"
    with pytest.raises(KeyError):
        fill("%(nobody)s", {})


def words(**values: str) -> dict[str, str]:
    known = {"experiment": "demo", "campaign": "c", "stage": "s", "version": "v1", "dataset": "d", "experimenter": "u"}
    return words_of({"colour": "red", "release": "v2"}, **{**known, **values})


def test_layers_lie_over_each_other_as_they_always_have():
    """The order and the outcome that reference poms 5 has observed."""
    kind = [("-Oa=", "jt"), ("-Ob=", "jt")]
    campaign, stage, test = [("-Oa=", "camp"), ("-Od=", "campdef")], [("-Oa=", "stage")], [("-Ob=", "testov")]
    assert overlay(kind, campaign, stage, test) == [("-Oa=", "stage"), ("-Ob=", "testov"), ("-Od=", "campdef")]
    assert overlay(kind, campaign, stage, test, [("-Oa=", "recovery")])[0] == ("-Oa=", "recovery")


def test_blanks_of_keys_and_values_are_kept():
    pairs = [("--name ", " two  words "), ("-Ox=", " y"), (" --lead=", "z "), ("--empty=", ""), ("--none ", "")]
    assert argv("run", pairs, {}) == ["run", "--name", " two  words ", "-Ox= y", "--lead=z ", "--empty=", "--none", ""]


def test_our_words_stand_for_the_launch_and_a_campaign_cannot_redefine_them():
    known = words_of(
        {"group": "mine", "colour": "red"},
        experiment="samdev",
        campaign="c",
        stage="s",
        version="v",
        dataset="d",
        experimenter="u",
    )
    assert (
        fill("%(group)s %(experiment)s %(parameter)s %(experimenter)s %(colour)s", known) == "fermilab samdev d u red"
    )


def test_version_and_dataset_may_name_words_of_the_campaign():
    known = words(version="%(release)s", dataset="sim_%(colour)s_%(nobody)s%%.root")
    assert (known["version"], known["dataset"], known["parameter"]) == ("v2", *["sim_red_%(nobody)s%%.root"] * 2)


def test_a_set_up_gets_our_words_and_not_those_of_the_campaign():
    text = "setup x %(version)s -g %(group)s; echo %(colour)s %(campaign)s; date +%%Y; date +%s; printf %(T)s"
    assert fill_setup(text, words()) == (
        "setup x v1 -g demo; echo %(colour)s %(campaign)s; date +%Y; date +%s; printf %(T)s"
    )


def test_scripts_in_the_field_find_their_names_without_blanks():
    found = environment_of(
        experiment="samdev", campaign="my camp", stage="gen 1", stage_type="generator", launcher="u", test=True
    )
    assert found == {
        "POMS4_CAMPAIGN_NAME": "my_camp", "POMS4_CAMPAIGN_STAGE_NAME": "gen_1", "POMS4_CAMPAIGN_STAGE_TYPE": "generator",
        "POMS4_CAMPAIGN_TYPE": "test", "POMS4_TEST_LAUNCH": "True", "POMS_CAMPAIGN_NAME": "my_camp__gen_1",
        "POMS_LAUNCHER": "u", "POMS_EXPERIMENT": "samdev", "JOBSUB_GROUP": "fermilab", "GROUP": "fermilab",
    }  # fmt: skip


def test_a_campaigns_name_is_not_said_twice():
    told = {"experiment": "demo", "stage_type": "x"}
    assert environment_of(campaign="mdc", stage="mdc_gen", **told)["POMS_CAMPAIGN_NAME"] == "mdc_gen"
    assert environment_of(campaign="mdc", stage="gen_mdc", **told)["POMS_CAMPAIGN_NAME"] == "mdc__gen_mdc"


REAL = Path(__file__).parents[3] / "shared" / "cases" / "poms_ini"
LISTS = re.compile(r"^(?:parameters|param_overrides|test_param_overrides)\s*=\s*(\[\[.*\]\])\s*$", re.MULTILINE)


def test_real_parameters_make_the_words_that_a_shell_made_of_the_old_text():
    """POMS joined keys and values by blanks, put words in with %, and gave the text to a shell."""
    if not REAL.is_dir():
        pytest.skip("the real campaigns of ../shared/cases are not beside the project")
    known, seen = words(), 0
    for file in sorted(REAL.glob("*.ini")):
        for written in LISTS.findall(file.read_text(errors="replace")):
            try:
                pairs = [(key, value) for key, value in json.loads(written)]
                text = "fife_launch " + " ".join(key + value for key, value in pairs)
                old = shlex.split(text % known)
            except (ValueError, TypeError, KeyError):
                continue  # templates: no JSON, words of their own, or a lone percent sign, which POMS refused too
            if any(" " in value.strip() or not value for _, value in pairs):
                continue  # the shell parted a value at its blanks; here it arrives whole
            assert argv("fife_launch", pairs, known) == old, (file.name, written)
            seen += 1
    assert seen > 50
