"""How two makings of the same thing are compared: causes by name, outputs by checksum, size and events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from submissions.recipe import CONTENT, MOST, Made, Recipe, compare, without

WAS = Recipe(
    definition="d1", release="v1", seeds={"events:0": 7, "events:5": 8},
    inputs={"file:a": (10, "adler32:1"), "file:b": (None, "")}, command=["run", "--stage", "gen", "--out", "{folder}"],
    setup="true", environment={"POMS_BATCH": "1", "POMS_SUBMISSION_ID": "{uuid}"}, uploads={"code.py": "ab"},
    outputs={"x": Made(5, "adler32:9", 3, {"generator_version": "8.3", "n": 1}), "y": Made(6, "adler32:8", 3)},
)  # fmt: skip


def named(**changes):
    differences, _ = compare(WAS, replace(WAS, **changes))
    return [(entry.of, entry.what, entry.was, entry.now) for entry in differences]


def test_the_same_is_equal():
    assert compare(WAS, replace(WAS)) == ([], [])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"definition": "d2"}, ("definition", "text", "d1", "d2")),
        ({"release": "v2"}, ("release", "software version", "v1", "v2")),
        ({"seeds": {"events:0": 7, "events:5": 9}}, ("seed", "events:5", "8", "9")),
        ({"command": ["run", "--stage", "sim", "--out", "{folder}"]}, ("command", "argument 2", "gen", "sim")),
        ({"command": ["run", "--stage", "gen", "--out"]}, ("command", "argument 4", "{folder}", "")),
        ({"setup": "false"}, ("command", "set-up", "true", "false")),
        ({"environment": {"POMS_BATCH": "2"}}, ("environment", "POMS_BATCH", "1", "2")),
        ({"uploads": {"code.py": "cd"}}, ("upload", "code.py", "ab", "cd")),
        ({"inputs": {"file:a": (10, "adler32:2"), "file:b": (None, "")}},
         ("input", "file:a", "10 bytes adler32:1", "10 bytes adler32:2")),
        ({"inputs": {"file:a": (10, "adler32:1"), "file:b": (None, "gone")}}, None),
        ({"inputs": {"file:a": (10, "adler32:1")}}, ("input", "file:b", "of unknown size", "")),
        ({"outputs": {"x": WAS.outputs["x"]}}, ("output", "y", "there", "")),
        ({"outputs": {**WAS.outputs, "z": Made(1)}}, ("output", "z", "", "there")),
        ({"outputs": {**WAS.outputs, "y": Made(6, "adler32:7", 3)}}, ("bytes", "y", "adler32:8", "adler32:7")),
        ({"outputs": {**WAS.outputs, "y": Made(7, "adler32:8", 3)}},
         ("bytes", "y", "6 bytes adler32:8", "7 bytes adler32:8")),
        ({"outputs": {**WAS.outputs, "y": Made(6, "adler32:8", 2)}}, ("events", "y", "3", "2")),
        ({"outputs": {**WAS.outputs, "x": Made(5, "adler32:9", 3, {"generator_version": "8.4"})}},
         ("release", "generator_version", "8.3", "8.4")),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_named(changes, found):
    assert named(**changes) == ([found] if found else [])


def test_the_content_decides_where_jobs_declare_it_and_other_bytes_are_remarked_on():
    was = replace(WAS, outputs={"x": Made(5, "adler32:1", 3, {CONTENT: "sha256:a"})})
    same = replace(was, outputs={"x": Made(6, "adler32:2", 3, {CONTENT: "sha256:a"})})
    differences, remarks = compare(was, same)
    assert differences == []
    assert "1 outputs have other bytes and the same content" in remarks[0]
    differences, _ = compare(was, replace(was, outputs={"x": Made(5, "adler32:1", 3, {CONTENT: "sha256:b"})}))
    assert [str(entry) for entry in differences] == ["content x: sha256:a → sha256:b"]
    # One that declares nothing is compared by its bytes.
    bare = replace(was, outputs={"x": Made(6, "adler32:2", 3)})
    assert [entry.of for entry in compare(was, bare)[0]] == ["bytes"]


def test_an_output_without_checksum_is_said_to_be_compared_by_less():
    bare = replace(WAS, outputs={"x": Made(5, "", 3)})
    assert compare(bare, bare) == ([], ["x has no checksum: its size and events alone were compared"])


def test_what_names_the_launch_is_no_difference():
    words = {"uuid": "11-22", "folder": "/files/11-22", "dataset": "poms_demo", "project": "12"}
    assert without(words, "/files/11-22/x 11-22 poms_demo:all -p 12 x12 112") == (
        "{folder}/x {uuid} {dataset}:all -p {project} x12 112"
    )
    assert named(environment={**WAS.environment, "POMS_SUBMISSION_ID": "another"}) == []


def test_many_differences_of_a_kind_are_bounded():
    seeds = {f"events:{n}": n for n in range(MOST + 5)}
    found, _ = compare(replace(WAS, seeds=seeds), replace(WAS, seeds=dict.fromkeys(seeds, 0)))
    assert len(found) == MOST + 1
    assert found[-1].what == "and 4 more"  # the seed of events:0 is 0 in both


def test_a_recipe_survives_its_document():
    assert Recipe.of(WAS.document()) == WAS


@pytest.mark.parametrize("spoil", [{"seeds": [1]}, {"inputs": {"a": 1}}, {"outputs": {"x": {}}}, {"command": None}])
def test_what_is_no_recipe_says_so(spoil):
    with pytest.raises(ValueError, match="it is no recipe"):
        Recipe.of({**WAS.document(), **spoil})
