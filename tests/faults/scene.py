"""What the kill tests play on: folders, a throwaway database, copies of the host programs, approved campaigns."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("fault_submit")
UNITS_OF_MERGE = 8


class Folders:
    """The folders of one run; every process that the run starts names `root` in its command line."""

    def __init__(self) -> None:
        # A blank, because paths may hold one; short, because a socket lies below it.
        self.root = Path(tempfile.mkdtemp(prefix="poms faults "))
        self.host = self.root / "host"
        self.control = self.root / "control"
        self.log = self.root / "log"
        self.spool = self.root / "batch"
        self.launches = self.root / "launches"
        self.files = self.root / "files"
        self.temporary = self.root / "tmp"
        self.hits = self.root / "hits"
        for folder in (self.host, self.control, self.log, self.temporary, self.spool, self.root / "state"):
            folder.mkdir()
        self.hits.touch()

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def start_django(folders: Folders, seed: int, database: str = "", *, tables: bool = True) -> None:
    """Set Django up on a database, by default on one that ends with this process, and make the tables."""
    for name in [name for name in os.environ if name.startswith("POMS_")] + ["DATABASE_URL"]:
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "poms_site.settings_test",
        "POMS_STATE": str(folders.root / "state"),
        "POMS_LOCAL_SPOOL": str(folders.spool),
        "POMS_LOCAL_LAUNCHES": str(folders.launches),
        "POMS_LOCAL_FILES": str(folders.files),
        "POMS_LAUNCH_WALL_SECONDS": "60",
        "POMS_QUEUE_DEPTH": "0",  # as many launches at once as can be
        "POMS_LOG": "WARNING",
        "POMS_CRASH_SEED": str(seed),
        # Processes are killed, the machine is not: waiting for the disk proves nothing here.
        "POMS_SHIM_NOSYNC": "1",
    } | ({"DATABASE_URL": database} if database else {})
    import django

    django.setup()
    # Only now, so that the database keeps its own folders.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folders.temporary)
    if tables:
        from tests.tables import make_tables

        make_tables()


def put_programs(folders: Folders) -> None:
    """Copy shim and batch daemon, as onto a launch host, into the run's own folder, and use those.

    So their processes are told from everybody else's by their command line. The copies differ from the
    originals by one line each: they note a crash point before they die of it.
    """
    from integrations.batch import local as batch
    from integrations.launcher import local as launcher

    note = f"open({str(folders.hits)!r}, 'a').write(name + '\\n'); "
    shim = folders.host / "shim.py"
    shim.write_text(_noting(launcher.SHIM.read_text(), "    os.kill(os.getpid(), 9)\n", note))
    shutil.copy(launcher.SHIM.with_name("wrapper.py"), folders.host)  # it stands beside the shim
    package = folders.host / "local_daemon"
    shutil.copytree(batch.DAEMON.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, dying in (("log.py", "\n        die()\n"), ("faults.py", "\n            die()\n")):
        module = package / name
        module.write_text(_noting(module.read_text(), dying, note))
    launcher.SHIM = shim
    batch.DAEMON = package / "__main__.py"


def _noting(text: str, dying: str, note: str) -> str:
    assert text.count(dying) == 1, "the line that dies at a crash point is not what it was"
    bare = dying.lstrip()
    return text.replace(dying, dying.replace(bare, note + bare))


def shorten_leases() -> None:
    """Let leases run out within seconds, and claims be small, so that the dead hold up little of a short run.

    Short leases are also the harder test: work is taken over while it is still going on.
    """
    from submissions.logic import launching, observing, planning, recovering, settling

    launching.A_LIST = 30
    settling.A_PASS = recovering.A_PASS = 15
    planning.BATCHES_A_STEP = 15

    launching.LEASE = timedelta(seconds=2)
    settling.LEASE_SECONDS = 5
    observing.SWEEP_EVERY = timedelta(seconds=4)
    observing.QUIET = timedelta(seconds=6)


@dataclass
class Planned:
    """A campaign that was approved, and how many batches its planning must come to."""

    campaign: Any
    batches: int


class Scene:
    """Everybody, their set-ups, and campaigns of several shapes."""

    def __init__(self, folders: Folders, seed: int) -> None:
        from integrations.models import BatchSystem
        from tests import builders
        from tests.cast import assemble

        self.folders = folders
        self.seed = seed
        self.cast = assemble()
        BatchSystem.objects.create(name="local", backend="local")
        builders.login_setup(self.cast)
        # A set-up text makes the shim start a shell before the script.
        builders.login_setup(self.cast, "dressed", setup="export FAULTS_DRESSED=1\numask 027")

    def campaigns(self, submissions: int) -> list[Planned]:
        """Approve campaigns which together need so many first launches: wide, chain, triangle, two parents."""
        n = max(4, submissions // 9)
        merge = -(-n // UNITS_OF_MERGE)
        made = [
            self.approve("chain", 3 * n + merge, _stages(
                _gen("gen", n), _next("sim", {"gen": "each"}), _next("reco", {"sim": "each"}),
                _next("merge", {"reco": "each"}, split=f"nfiles({UNITS_OF_MERGE})", files_per_job=4),
            )),
            # a feeds b and c, b feeds c: two stages count units into a third at the same moment.
            self.approve("triangle", 3 * n + 1, _stages(
                _gen("a", n), _next("b", {"a": "each"}), _next("c", {"a": "each", "b": "each"}, split="nfiles(2)"),
                _next("end", {"c": "all"}, split="None", files_per_job=20),
            )),
            self.approve("parents", n + 2 * -(-n // 4) + 1, _stages(
                _gen("left", n // 2), _gen("right", n - n // 2),
                _next("joined", {"left": "all", "right": "50%"}, split="nfiles(4)"),
                _next("twice", {"left": "all", "right": "all"}, split="nfiles(4)"),
                _next("end", {"joined": "all", "twice": "all"}, split="None", files_per_job=10),
            )),
        ]  # fmt: skip
        rest = submissions - sum(planned.batches for planned in made)
        made.append(self.approve("wide", max(1, rest), _stages(_gen("gen", max(1, rest)), setup="dressed")))
        return made

    def extra(self, number: int, submissions: int) -> Planned:
        """Approve one more campaign, of a generator and a stage behind it."""
        n = max(1, submissions // 2)
        return self.approve(f"extra{number}", 2 * n, _stages(_gen("gen", n), _next("next", {"gen": "each"})))

    def far(self, name: str, submissions: int) -> Planned:
        """Approve a campaign of two stages whose scripts run on the launch host of its name."""
        n = max(2, submissions // 2)
        stages = _stages(_gen("gen", n), _next("next", {"gen": "each"}))
        return self.approve(name, 2 * n, stages.replace("cs_split_type", f"login_setup={name}\ncs_split_type"))

    def approve(self, name: str, batches: int, stages: str) -> Planned:
        """Take a definition through request and approval."""
        from tests import builders

        script = f"{shlex.quote(str(SCRIPT))} {shlex.quote(str(self.folders.control))} {self.seed}"
        text = (
            f"[campaign]\nexperiment=demo\nname={name}\npoms_role=production\n"
            "[campaign_defaults]\njob_type=fault\nlogin_setup=local\ncompletion_pct=100\nmemory_mb=400\n"
            f"wall_s=60\nrecovery_rounds=15\n{stages}"
            f"[job_type fault]\nlaunch_script={script.replace('%', '%%')}\noutput_file_patterns=%.txt\n"
        )
        return Planned(builders.approved_campaign(self.cast, text, title=name), batches)


def _gen(name: str, batches: int) -> str:
    return (
        f"[campaign_stage {name}]\nstage_type=generator\nevents={batches}\nevents_per_job=1\n"
        "cs_split_type=nevents(1)\nseed=7\n"
    )


def _next(name: str, parents: dict[str, str], *, split: str = "nfiles(1)", files_per_job: int = 1) -> str:
    edges = "".join(
        f"campaign_stage_{number}={parent}\ngate_{number}={gate}\n"
        for number, (parent, gate) in enumerate(parents.items(), 1)
    )
    return (
        f"[campaign_stage {name}]\ndataset_or_split_data=from_parent\ncs_split_type={split}\n"
        f"files_per_job={files_per_job}\n[dependencies {name}]\n{edges}"
    )


def _stages(*texts: str, setup: str = "") -> str:
    joined = "".join(texts)
    return joined.replace("seed=7\n", f"seed=7\nlogin_setup={setup}\n") if setup else joined
