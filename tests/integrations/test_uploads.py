"""Uploads: a quota that is counted before anything is kept, names that are no paths, and areas that nobody else sees."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.clock import shifted
from core.errors import NotVisible, Refused
from integrations.errors import Refused as Unusable
from integrations.launcher.base import Launch
from integrations.launcher.local import SHIM, LocalLauncher
from integrations.models import Upload, UploadContent
from integrations.uploads import keeping
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def test_a_file_is_kept_once_and_comes_back_byte_for_byte(cast: Cast) -> None:
    content = bytes(range(256)) * 100
    for person in (cast.analyser, cast.operator):
        made = keeping.keep(cast.experiment, person, "my fit.C", [content[:999], content[999:]])
        assert (made.size, made.digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert keeping.content_of(made.digest) == content
    assert UploadContent.objects.count() == 1
    assert Upload.objects.visible_to(cast.analyser).count() == 1
    assert Upload.objects.visible_to(cast.operator).count() == 2  # production sees what it launches
    assert not Upload.objects.visible_to(cast.experimenter).exists()
    assert not Upload.objects.visible_to(cast.stranger).exists()


def test_what_has_no_room_is_read_no_further_and_not_kept(cast: Cast, settings: Any) -> None:
    settings.UPLOAD_QUOTA = 1_000
    keeping.keep(cast.experiment, cast.analyser, "a", [b"x" * 600])
    read: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(100)
            yield b"y" * 100

    with pytest.raises(Refused, match="there is room for 400"):
        keeping.keep(cast.experiment, cast.analyser, "b", endless())
    assert sum(read) == 500
    with pytest.raises(Refused, match="5000 bytes or more"):
        keeping.keep(cast.experiment, cast.analyser, "b", iter(()), declared=5_000)
    assert Upload.objects.get().name == "a"
    # In the place of itself it may be as large as the quota; another's area and another experiment's are not touched.
    keeping.keep(cast.experiment, cast.analyser, "a", [b"z" * 1_000])
    keeping.keep(cast.experiment, cast.operator, "a", [b"z" * 1_000])
    assert keeping.room_of(cast.experiment, cast.analyser) == 0


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\nb", "-rf", " a", "a ", "x" * 201, "\u202etxt"]
)
def test_a_name_that_is_a_path_or_a_trick_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(Refused, match="cannot be kept"):
        keeping.keep(cast.experiment, cast.analyser, name, [b"x"])
    assert not UploadContent.objects.exists()


def test_what_is_removed_is_gone_and_its_content_after_a_while(cast: Cast) -> None:
    made = keeping.keep(cast.experiment, cast.analyser, "a", [b"x"])
    keeping.remove(cast.experiment, cast.analyser, "a")
    with pytest.raises(NotVisible, match="There is no upload a of yours"):
        keeping.remove(cast.experiment, cast.analyser, "a")
    with shifted(timedelta(days=10)):
        assert keeping.forget([], timedelta(days=90)) == 0
    with shifted(timedelta(days=100)):
        assert keeping.forget([made.digest], timedelta(days=90)) == 0
        assert keeping.forget([], timedelta(days=90)) == 1


def test_the_api_takes_bytes_and_says_what_is_wrong(cast: Cast, client: Any, settings: Any) -> None:
    settings.UPLOAD_QUOTA = 100
    client.force_login(cast.analyser)
    where = "/api/v1/uploads/?experiment=demo&name=fit.C"

    def send(address: str, content: bytes) -> Any:
        return client.post(address, content, content_type="application/octet-stream")

    answer = send(where, b"\x00\xff bytes")
    assert answer.status_code == 201, answer.content
    assert answer.json()["room"] == 92
    assert client.get("/api/v1/uploads/content/?experiment=demo&name=fit.C").content == b"\x00\xff bytes"
    assert [row["name"] for row in client.get("/api/v1/uploads/").json()["results"]] == ["fit.C"]
    assert send("/api/v1/uploads/?experiment=demo&name=../x", b"x").status_code == 422
    assert send("/api/v1/uploads/?experiment=demo&name=big", b"x" * 101).status_code == 422
    assert Upload.objects.get().name == "fit.C"


# --- On the launch host --------------------------------------------------------------------------------------------


@pytest.fixture
def launcher(tmp_path: Path) -> LocalLauncher:
    return LocalLauncher(tmp_path / "launches")


def ended(launcher: LocalLauncher, launch: Launch) -> Any:
    for _ in range(6_000):
        (fate,) = launcher.status([launch.uuid]).values()
        if fate.state not in ("running", "never_seen"):
            return fate
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.02)"], check=True)
    raise AssertionError("it did not end")


def contents(*texts: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(text).hexdigest(): text for text in texts}


def test_uploads_reach_the_script_and_are_cleared_after_it(launcher: LocalLauncher, tmp_path: Path) -> None:
    there = contents(b"\x00\xffdata", b"#!/bin/sh\necho ran\n")
    first, second = there
    launcher.supply(list(there), there.__getitem__)
    launcher.supply(list(there), {}.__getitem__)  # nothing is asked for twice
    argv = ["bash", "-c", 'cp "$UPLOADS/my data" "$0"; "$UPLOADS/run" >> "$0"; echo spoilt > "$UPLOADS/my data"',
            str(tmp_path / "out")]  # fmt: skip
    launch = Launch(str(uuid.uuid4()), 1, 0, argv, uploads={"my data": first, "run": second})
    assert launcher.start([launch])[launch.uuid].outcome == "started"
    assert ended(launcher, launch).exit_code == 0
    assert (tmp_path / "out").read_bytes() == b"\x00\xffdataran\n"
    # What a script does to its own copy changes no other's.
    again = Launch(str(uuid.uuid4()), 1, 0, ["cmp", *[str(tmp_path / "is")] * 2], uploads={"my data": first})
    (tmp_path / "is").touch()
    launcher.start([again])
    ended(launcher, again)
    sandbox = tmp_path / "launches" / again.uuid[:2] / again.uuid / "uploads"
    assert (sandbox / "my data").read_bytes() == b"\x00\xffdata"
    assert launcher.clear([again.uuid, launch.uuid]) == {again.uuid: True, launch.uuid: True}
    assert not sandbox.exists()
    assert launcher.status([again.uuid])[again.uuid].state == "finished"


def test_a_running_script_keeps_its_sandbox(launcher: LocalLauncher, tmp_path: Path) -> None:
    (digest,) = there = contents(b"x")
    launcher.supply(list(there), there.__getitem__)
    gate = tmp_path / "gate"
    argv = ["bash", "-c", f'until [ -e "{gate}" ]; do sleep 0.05; done; cat "$UPLOADS/x"']
    launch = Launch(str(uuid.uuid4()), 1, 0, argv, uploads={"x": digest})
    launcher.start([launch])
    assert launcher.clear([launch.uuid]) == {launch.uuid: False}
    gate.touch()
    assert ended(launcher, launch).exit_code == 0
    assert launcher.clear([launch.uuid]) == {launch.uuid: True}


def test_what_is_not_there_or_is_spoilt_starts_nothing(launcher: LocalLauncher, tmp_path: Path) -> None:
    (digest,) = there = contents(b"whole")
    launch = Launch(str(uuid.uuid4()), 1, 0, ["touch", str(tmp_path / "ran")], uploads={"x": digest})
    outcome = launcher.start([launch])[launch.uuid]
    assert (outcome.outcome, outcome.detail) == ("refused", "the upload x is not on this host")
    launcher.supply([digest], there.__getitem__)
    (tmp_path / "launches" / "uploads" / digest).write_bytes(b"spoilt")
    assert launcher.start([launch])[launch.uuid].outcome == "refused"
    launcher.supply([digest], there.__getitem__)
    assert launcher.start([launch])[launch.uuid].outcome == "started"
    assert ended(launcher, launch).exit_code == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 201])
def test_the_shim_lets_no_upload_out_of_its_folder(launcher: LocalLauncher, name: str) -> None:
    launch = Launch(str(uuid.uuid4()), 1, 0, ["true"], uploads={name: "0" * 64})
    assert launcher.start([launch])[launch.uuid].outcome == "refused"


def test_contents_that_are_not_what_they_are_called_are_refused(launcher: LocalLauncher) -> None:
    with pytest.raises(Unusable, match="is not it"):
        launcher.supply(["0" * 64], lambda digest: b"something else")
    question = {"home": launcher.home, "asked": ["../../x"], "put": {}}
    asked = [sys.executable, str(SHIM), "uploads"]
    answer = subprocess.run(asked, input=json.dumps(question).encode(), capture_output=True, check=False)
    assert answer.returncode == 2
