"""`poms file declare`: what is sent of a file and of the metadata beside it."""

from __future__ import annotations

import json

import pytest

URL = "files/declare/"


@pytest.fixture
def raw(tmp_path):
    """A function that writes a file, and beside it its metadata if there are any."""

    def write(name: str, content: bytes = b"x" * 5, metadata: object = None) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        if metadata is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps(metadata))
        return str(path)

    return write


def test_a_file_is_sent_with_the_metadata_beside_it(service, poms, raw):
    service.on("POST", URL, service.Answer({"declared": ["a.raw", "b.raw"], "refused": []}))
    metadata = {
        "file_size": 5, "event_count": 3, "checksum": ["sha256:ab"], "parents": [{"file_name": "p.raw"}, "q.raw"],
        "runs": [[7, 1]],
    }  # fmt: skip
    paths = raw("a.raw", metadata=metadata), raw("b.raw")
    done = poms("file", "declare", "-e", "demo", *paths)
    assert (done.code, done.out) == (0, "a.raw\nb.raw\n")
    body = service.asked[-1].body
    assert (body["experiment"], body["catalogue"]) == ("demo", "")
    assert body["files"][0] == {
        "name": "a.raw", "path": paths[0], "size": 5, "checksum": "sha256:ab", "events": 3, "metadata": metadata,
        "parents": ["p.raw", "q.raw"],
    }  # fmt: skip
    assert body["files"][1] == {"name": "b.raw", "path": paths[1], "size": 5, "checksum": "", "events": None,
                                "metadata": {}, "parents": []}  # fmt: skip


def test_what_the_catalogue_refuses_is_told_and_fails(service, poms, raw):
    answer = {"declared": [], "refused": [{"name": "a.raw", "why": "the name is taken by /b/a.raw"}]}
    service.on("POST", URL, service.Answer(answer))
    done = poms("file", "declare", "-e", "demo", raw("a.raw"))
    assert (done.code, done.out) == (1, "")
    assert "a.raw: the name is taken by /b/a.raw" in done.err


@pytest.mark.parametrize("metadata", [{"file_size": 6}, ["raw"]])
def test_a_file_that_is_not_what_its_metadata_say_is_not_sent(service, poms, raw, metadata):
    done = poms("file", "declare", "-e", "demo", raw("a.raw", metadata=metadata))
    assert done.code == 64
    assert not service.asked


def test_a_file_that_is_not_there_is_not_sent(service, poms, tmp_path):
    done = poms("file", "declare", "-e", "demo", str(tmp_path / "none.raw"))
    assert (done.code, "none.raw cannot be declared" in done.err) == (64, True)
    assert not service.asked
