"""What every launcher must do, said against the protocol; its tests bring the launcher and a place of its host."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integrations.errors import Refused
from integrations.launcher.base import Fate, Launch, Launcher

SOON_S = 60.0
# What a shell, ssh, or a line of text would make something else of.
WORDS = [
    "a b",
    "",
    "'",
    '"',
    "$HOME",
    "`id`",
    "$(id)",
    "\\",
    "*",
    "--",
    "-x",
    "é ü",
    "a\nb",
    "tab\there",
    ";",
    "%s",
    "#",
]


def new(argv: Sequence[str], **values: Any) -> Launch:
    """Return a launch that nobody has seen."""
    return Launch(**{"uuid": str(uuid4()), "attempt": 1, "after": 0, "argv": argv, **values})


def ended(launcher: Launcher, launch: Launch) -> Fate:
    """Wait for the end of a launch; return what became of it."""
    return all_ended(launcher, [launch])[0]


def all_ended(launcher: Launcher, launches: Sequence[Launch]) -> list[Fate]:
    """Wait for the end of all launches, asking for them together; return what became of each."""
    deadline, uuids = time.monotonic() + SOON_S, [launch.uuid for launch in launches]
    while True:
        fates = launcher.status(uuids)
        if all(fate.state != "running" for fate in fates.values()):
            return [fates[uuid] for uuid in uuids]
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.05)


class LauncherConformance:
    """Inherit it with fixtures `launcher`, and `place`: a folder of the host that the test can read."""

    def test_a_script_runs_and_its_code_and_words_come_back(self, launcher: Launcher) -> None:
        launch = new(["sh", "-c", "echo said; exit 3"])
        assert launcher.status([launch.uuid])[launch.uuid].state == "never_seen"
        assert launcher.start([launch])[launch.uuid].outcome == "started"
        fate = ended(launcher, launch)
        assert (fate.state, fate.exit_code, fate.attempt, fate.timed_out) == ("finished", 3, 1, False)
        said = launcher.output(launch.uuid, "tail", 0, 100)
        assert (said["text"], said["total"]) == ("said\n", 5)

    def test_words_arrive_byte_for_byte(self, launcher: Launcher, place: Path) -> None:
        script = place / "script with blank"
        script.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{place}/words'\n")
        script.chmod(0o755)
        launch = new([str(script), *WORDS])
        launcher.start([launch])
        assert ended(launcher, launch).exit_code == 0
        assert (place / "words").read_text().split("\0")[:-1] == WORDS

    def test_set_up_environment_and_files_are_there(self, launcher: Launcher, place: Path) -> None:
        text = 'function greet() { echo "hello $1"; }\nexport -f greet\nexport RELEASE=\'v1 "x"\''
        command = f'(greet "$WHO"; echo "$RELEASE"; cat jobs.json) > "{place}/said"'
        launch = new(["bash", "-c", command], setup=text, env={"WHO": "a b $HOME"}, files={"jobs.json": '{"é": 1}'})
        launcher.start([launch])
        assert ended(launcher, launch).exit_code == 0
        assert (place / "said").read_text() == 'hello a b $HOME\nv1 "x"\n{"é": 1}'

    def test_a_submit_command_adds_its_words_and_its_job_ids_come_back(self, launcher: Launcher, place: Path) -> None:
        command = place / "jobsub_submit"
        command.write_text(
            f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{place}/words'\n"
            "echo '2 job(s) submitted to cluster 7.'\necho 'Use job id 7.0@schedd to retrieve output'\nexit 4\n"
        )
        command.chmod(0o755)
        words = {"jobsub_submit": [["-l"], ['+A="b c"'], ["--memory", "2000MB"]]}
        # The set-up puts the real command first, as `module load` does.
        launch = new(
            ["jobsub_submit", *WORDS], setup=f"PATH='{place}':$PATH", env={"POMS_SUBMIT_WORDS": json.dumps(words)}
        )
        launcher.start([launch])
        fate = ended(launcher, launch)
        assert (fate.exit_code, fate.job_ids) == (4, ("7.0@schedd", "7.1@schedd"))
        told = (place / "words").read_text().split("\0")[:-1]
        assert told == ["-l", '+A="b c"', "--memory", "2000MB", *WORDS]
        assert "Use job id 7.0@schedd to retrieve output\n" in launcher.output(launch.uuid, "head", 0, 1000)["text"]

    def test_what_is_started_twice_runs_once(self, launcher: Launcher, place: Path) -> None:
        launch = new(["sh", "-c", f"echo run >> '{place}/runs'"])
        assert launcher.start([launch])[launch.uuid].outcome == "started"
        ended(launcher, launch)
        assert launcher.start([launch])[launch.uuid].outcome in ("finished", "running")
        other = new(launch.argv, uuid=launch.uuid, attempt=2, after=7)
        assert launcher.start([other])[launch.uuid].outcome in ("finished", "stale")
        assert (place / "runs").read_text() == "run\n"

    def test_what_was_begun_lately_is_named_and_its_plan_comes_back(self, launcher: Launcher, place: Path) -> None:
        before = time.time() - 5  # clocks and time stamps of files differ a little
        planned = new(["true"], files={"jobs.json": '{"jobs": [1, "\\u00e4"]}'})
        bare, spoilt = new(["true"]), new(["true"], files={"jobs.json": "[1]"})
        launcher.start([planned, bare, spoilt])
        all_ended(launcher, [planned, bare, spoilt])
        uuids = {one.uuid for one in (planned, bare, spoilt)}
        assert uuids <= set(launcher.recent(before))
        assert not uuids & set(launcher.recent(time.time() + 3600))
        plans = launcher.plans([planned.uuid, bare.uuid, spoilt.uuid])
        assert plans == {planned.uuid: {"jobs": [1, "\u00e4"]}, bare.uuid: None, spoilt.uuid: None}

    def test_many_go_in_one_call(self, launcher: Launcher, place: Path) -> None:
        launches = [new(["sh", "-c", f"echo {n} > '{place}/{n}'"]) for n in range(20)]
        assert {started.outcome for started in launcher.start(launches).values()} == {"started"}
        assert {fate.exit_code for fate in all_ended(launcher, launches)} == {0}
        fates = launcher.status([*(launch.uuid for launch in launches), str(uuid4())])
        assert [fate.state for fate in fates.values()] == ["finished"] * 20 + ["never_seen"]

    def test_a_script_goes_on_after_the_call_and_can_be_stopped(self, launcher: Launcher, place: Path) -> None:
        launch = new(["sh", "-c", f"sleep 600; touch '{place}/late'"])
        launcher.start([launch])
        assert launcher.status([launch.uuid])[launch.uuid].state == "running"
        launcher.stop([launch.uuid])
        assert ended(launcher, launch).state in ("finished", "vanished")
        assert not (place / "late").exists()

    def test_a_script_past_its_time_is_stopped(self, launcher: Launcher) -> None:
        launch = new(["sleep", "600"], wall_s=1)
        launcher.start([launch])
        assert ended(launcher, launch).timed_out

    def test_programs_are_found_as_a_script_would(self, launcher: Launcher, place: Path) -> None:
        (place / "mine").write_text("#!/bin/sh\n")
        (place / "mine").chmod(0o755)
        setup = f"PATH='{place}':$PATH"
        assert launcher.present(setup, ["mine", "sh", "nothing-of-the-kind"]) == {
            "mine": True, "sh": True, "nothing-of-the-kind": False,
        }  # fmt: skip

    def test_much_output_is_read_in_pieces(self, launcher: Launcher) -> None:
        launch = new(["sh", "-c", "seq 1 20000"])
        launcher.start([launch])
        ended(launcher, launch)
        whole = "".join(f"{n}\n" for n in range(1, 20_001))
        assert launcher.output(launch.uuid, "tail", 0, 10)["total"] == len(whole)
        assert launcher.output(launch.uuid, "tail", 1_000, 5_000)["text"] == whole[1_000:6_000]

    def test_a_question_that_makes_no_sense_is_refused(self, launcher: Launcher) -> None:
        with pytest.raises(Refused, match="the launch shim refuses"):
            launcher.output("../elsewhere", "tail", 0, 100)
