"""What tests.scale.observing is made of: live jobs and who observes them, a past that grows, and what is asked meanwhile."""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from django.db import connection, transaction

from core.locking import session_lock
from experiments.models import Experiment, User
from integrations import registry
from integrations.batch.base import JobSeen, Snapshot
from integrations.models import BatchSystem
from submissions.logic import observing
from submissions.models import Batch, Job, Submission
from tests.cast import Cast
from tests.scale import campaigns
from tests.scale.readers import Site, ask, p95

SYSTEM = "farm"
ROLE = "operator"
SHARE = 50  # one live job in so many changes in a tick: 2 %
A_SUBMISSION = 100  # live jobs
A_CAMPAIGN = 100  # live submissions
LONG_AGO = 1_790_000_000.0  # when what is live began, in seconds of the epoch
KEPT_APART = 10**9  # the first key of what is live
NOTHING = "without_rows"  # the name of a page that reads nothing of what grows
CYCLE = ("idle", "staging_in", "processing", "staging_out", "held")
SEQUENCES = (
    "campaigns_campaign_id_seq", "campaigns_stage_id_seq", "submissions_batch_id_seq", "submissions_submission_id_seq",
    "submissions_job_id_seq",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much of the past there is: campaigns, submissions, and jobs of each."""

    name: str
    campaigns: int
    submissions: int
    jobs: int = 38


FULL = (Size("S", 60, 2_000), Size("M", 250, 25_000), Size("L", 2_000, 250_000))
BRIEF = (Size("S", 10, 100), Size("M", 20, 400), Size("L", 40, 1_500))


@dataclass(frozen=True)
class Farm:
    """Stands in for a batch system with so many live jobs: what it answers follows from the position alone.

    At each look one place in SHARE has changed. In one of ten of these a job has ended and another one has come.
    """

    uuids: Sequence[str]
    slots: int
    whole: bool = False

    def _at(self, place: int, look: int, at: float) -> JobSeen:
        """Return the job that is at a place after a look."""
        turns = look // SHARE + (place % SHARE < look % SHARE)
        ends = self._ends(place)
        born = turns if ends else 0
        return JobSeen(
            id=f"{place}.{born}@{SYSTEM}", uuid=self.uuids[place // A_SUBMISSION], starts=1, at=at,
            state="idle" if ends else CYCLE[turns % len(CYCLE)], index=place % A_SUBMISSION + A_SUBMISSION * born,
            site=f"SITE{place % 20}", node=f"node{place % 500}",
        )  # fmt: skip

    def _ends(self, place: int) -> bool:
        return place // SHARE % 10 == 0

    def snapshot(self, since: str) -> Snapshot:
        """Return what changed since the position."""
        look, now, seen = int(since or 0), time.time(), []
        for place in range(look % SHARE, self.slots, SHARE):
            if self._ends(place):
                ended = replace(self._at(place, look, now), state="succeeded", wall_s=600.0, cpu_s=500.0, cpus=1)
                seen.append(replace(ended, exit_code=0))
            seen.append(self._at(place, look + 1, now))
        if self.whole:
            seen += [
                self._at(place, look + 1, LONG_AGO + place % 500_000)
                for place in range(self.slots)
                if place % SHARE != look % SHARE
            ]
        return Snapshot(str(look + 1), seen)

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return what is asked for by id: nothing of it has changed, or it was told before."""
        look = int(BatchSystem.objects.get(name=SYSTEM).position or 0)
        return [self._at(int(name.partition(".")[0]), look, LONG_AGO) for name in ids], []

    def depth(self) -> dict[str, int]:
        """Return how many slots there are."""
        return {"slots": self.slots}


def observe(slots: int, every: float, *, whole: bool) -> None:
    """Look at the farm every so many seconds, until standard input ends or a whole look is done; tell what each took."""
    row = BatchSystem.objects.get(name=SYSTEM)
    uuids = Submission.objects.filter(system=SYSTEM).order_by("pk").values_list("uuid", flat=True)
    farm = Farm([str(uuid) for uuid in uuids], slots, whole)
    registry.BACKENDS[SYSTEM] = lambda _: farm
    with ExitStack() as stack:
        while not stack.enter_context(session_lock(f"observe:{SYSTEM}")):
            time.sleep(0.01)
        print(json.dumps({"ready": True}), flush=True)
        while True:
            begun, before = time.perf_counter(), written_bytes()
            observing.observe(row)
            took = time.perf_counter() - begun
            told = {"took": took, "wal_mb": (written_bytes() - before) / 1e6}
            print(json.dumps({**told, "rss_mb": most_memory()}), flush=True)
            if whole or select.select([sys.stdin], [], [], max(0.0, every - took))[0]:
                return


def most_memory() -> float:
    """Return the most memory that this process has had, in MB; getrusage would count in what its parent had."""
    return int(re.findall(r"VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def written_bytes() -> int:
    """Return how much the database has written to its log since it was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(cursor.fetchone()[0])


class Looks:
    """The process that observes, while a block runs; afterwards what it told."""

    def __init__(self, slots: int, every: float, *, whole: bool = False) -> None:
        command = [sys.executable, "-m", "tests.scale.observing", "--observe", "--live", str(slots)]
        self.command = [*command, "--every", str(every), *(["--whole"] if whole else [])]
        self.told: list[dict[str, float]] = []

    def __enter__(self) -> Looks:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["ready"]
        return self

    def __exit__(self, *_: object) -> None:
        rest, _none = self.process.communicate(timeout=900)
        assert self.process.returncode == 0
        self.told = [json.loads(line) for line in rest.splitlines()]


def live_campaigns(cast: Cast, slots: int) -> list[int]:
    """Fill in running campaigns with so many live jobs; return their keys."""
    submissions = slots // A_SUBMISSION
    BatchSystem.objects.create(name=SYSTEM, backend=SYSTEM)  # which the site itself cannot reach
    with transaction.atomic(), connection.cursor() as cursor:
        row = campaigns.prototype(cast)
        campaigns.copy_campaigns(cursor, row, max(1, submissions // A_CAMPAIGN))
        of_live = "id IN (SELECT campaign FROM past)"
        cursor.execute(f"UPDATE campaigns_campaign SET state = 'running', ended_at = NULL WHERE {of_live}")
        cursor.execute(
            "UPDATE campaigns_stage SET completed_at = NULL, succeeded = NULL WHERE campaign_id IN (SELECT campaign FROM past)"
        )
        numbered = (
            f"SELECT k, p.campaign, p.stage, p.version FROM generate_series(0, {submissions - 1:d}) k JOIN past p"
            f" ON p.place = k / {A_CAMPAIGN} % (SELECT count(*) FROM past) ORDER BY k"
        )
        copy = campaigns.copy
        copy(cursor, Batch, row.batch, numbered, stage_id="g.stage", version_id="g.version", number="1 + g.k",
             reason_key="'slice:live:' || g.k", state="'project_running'", done="0", n_units=str(A_SUBMISSION))  # fmt: skip
        batches = (
            f"SELECT b.id AS batch, x.campaign, x.k FROM submissions_batch b JOIN ({numbered}) x"
            " ON b.reason_key = 'slice:live:' || x.k ORDER BY x.k"
        )
        copy(cursor, Submission, row.submission, batches, batch_id="g.batch", campaign_id="g.campaign",
             uuid="gen_random_uuid()", reason_key="'first:live:' || g.k", state="'running'", ended_at="NULL",
             system=f"'{SYSTEM}'", n_jobs=str(A_SUBMISSION))  # fmt: skip
        cursor.execute("SELECT DISTINCT campaign FROM past ORDER BY 1")
        found = [pk for (pk,) in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO submissions_stageprogress (stage_id, pass_number, units, taken, done, events_done, closed)"
            " SELECT stage_id, 1, sum(n_units), sum(n_units), 0, 0, true FROM submissions_batch b"
            " JOIN past p ON p.stage = b.stage_id GROUP BY stage_id"
        )
        cursor.execute("DROP TABLE past")
    # Its jobs come by the way on which all jobs come.
    with Looks(slots, 0.0, whole=True):
        pass
    return found


class Keys:
    """Which keys new rows get: those of the past stay below those of all that is live, whenever it is filled in."""

    def __init__(self) -> None:
        self.past = self._set(dict.fromkeys(SEQUENCES, KEPT_APART))

    @contextmanager
    def of_the_past(self) -> Iterator[None]:
        """Let rows that are made in this block be older."""
        live = self._set(self.past)
        yield
        self.past = self._set(live)

    def _set(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Let the sequences go on from these numbers; return where they were."""
        with connection.cursor() as cursor:
            were = {}
            for name, value in wanted.items():
                cursor.execute(f"SELECT last_value FROM {name}")
                were[name] = int(cursor.fetchone()[0])
                cursor.execute("SELECT setval(%s, %s)", [name, value])
        return were


def fill(keys: Keys, size: Size, before: Size | None, cast: Cast) -> campaigns.Past:
    """Let the past grow to a size."""
    known = before or Size("", 0, 0)
    with connection.cursor() as cursor, keys.of_the_past():
        # The copies' keys are right; to look each of them up would take as long again.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET statement_timeout = 0")
        past = campaigns.fill(size.campaigns - known.campaigns, size.submissions - known.submissions, cast, size.jobs)
        cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM ANALYZE")  # as autovacuum does in its time
    campaigns.sealed()
    return past


def pages(live: list[int], past: campaigns.Past) -> dict[str, str]:
    """Return the main pages by name, each with the address of one of its kind."""
    here, running = "/e/demo/", f"c{live[0]}"
    old = Submission.objects.get(pk=past.submissions[0])
    young = Submission.objects.filter(campaign_id=live[0], system=SYSTEM).latest("pk")
    jobs = Job.objects.filter(submission=young).latest("pk"), Job.objects.filter(submission=old, code="").latest("pk")
    failed = Job.objects.filter(code="exit").order_by("pk").first() or jobs[1]
    return {
        "home": "/",
        "overview": here,
        "campaigns": f"{here}campaigns/",
        "campaign": f"{here}campaigns/{running}/",
        "campaign_ended": f"{here}campaigns/c{past.largest}/",
        "campaign_history": f"{here}campaigns/{running}/history/",
        "batches": f"{here}batches/",
        "batches_of_campaign": f"{here}batches/?campaign={running}",
        "batches_failed": f"{here}batches/?state=failed",
        "batch": f"{here}batches/b{young.batch_id}/",
        "submissions": f"{here}submissions/",
        "submissions_of_campaign": f"{here}submissions/?campaign=c{past.largest}",
        "submissions_unsure": f"{here}submissions/?state=unsure",
        "submission": f"{here}submissions/s{young.pk}/",
        "jobs": f"{here}jobs/",
        "jobs_longest": f"{here}jobs/?sort=longest",
        "jobs_idle_long": f"{here}jobs/?state=idle&longer_than=21600&sort=longest",
        "jobs_processing": f"{here}jobs/?state=processing",
        "jobs_failed": f"{here}jobs/?state=failed",
        "jobs_lost": f"{here}jobs/?state=lost",
        "jobs_of_campaign": f"{here}jobs/?campaign={running}",
        "jobs_of_ended": f"{here}jobs/?campaign=c{past.largest}",
        "jobs_of_first": f"{here}jobs/?campaign=c{failed.submission.campaign_id}&state=failed",
        "jobs_of_stage": f"{here}jobs/?stage=gen",
        "jobs_of_no_stage": f"{here}jobs/?stage=nobody",
        "jobs_of_batch": f"{here}jobs/?batch=b{old.batch_id}",
        "jobs_at_site": f"{here}jobs/?site=SITE7",
        "jobs_at_no_site": f"{here}jobs/?site=NOWHERE",
        "jobs_on_node": f"{here}jobs/?node=node7",
        "jobs_on_no_node": f"{here}jobs/?node=nowhere",
        "jobs_by_code": f"{here}jobs/?code=exit",
        "jobs_by_no_code": f"{here}jobs/?code=never",
        "jobs_deep": f"{here}jobs/?after={jobs[1].pk}",
        "job": f"{here}jobs/j{jobs[0].pk}/",
        "job_ended": f"{here}jobs/j{jobs[1].pk}/",
        "sites": f"{here}sites/",
        "queue": f"{here}queue/",
        "search_word": "/search/?q=past",
        "search_job": f"/search/?q={jobs[1].external_id}",
        "search_nothing": "/search/?q=nothing-is-called-so",
    }


def measured(site: Site, cookie: str, addresses: Mapping[str, str], times: int) -> dict[str, list[float]]:
    """Return the times of each page's answers in milliseconds; each address is asked for once.

    The pages take turns, so that looks at the farm meet all of them alike. The first answer of each is left out.
    """
    found: dict[str, list[float]] = {NOTHING: [], **{name: [] for name in addresses}}
    for n in range(times + 1):
        for name, address in addresses.items():
            took = ask(site.address, f"{address}{'&' if '?' in address else '?'}n={n}", cookie)
            found[name] += [took] if n else []
        # A page without a row of these tables, now and then: what a machine with other work makes of any page.
        found[NOTHING] += [ask(site.address, f"/style/?n={n}", cookie)]
    return found


OFF = {
    "counters_off": """
        SELECT count(*) FROM (SELECT submission_id, state_code, n FROM submissions_jobcount WHERE n <> 0) c
        FULL JOIN (SELECT submission_id, state_code, count(*) AS n FROM submissions_job GROUP BY 1, 2) j
        USING (submission_id, state_code) WHERE c.n IS DISTINCT FROM j.n""",
    "tallies_off": """
        SELECT count(*) FROM (SELECT stage_id, day, site, state_code, n, wall_s::int8, core_s::int8, cpu_s::int8
                              FROM submissions_jobtally WHERE n <> 0) t
        FULL JOIN (SELECT b.stage_id, (j.ended_at AT TIME ZONE 'UTC')::date AS day, j.site, j.state_code, count(*) AS n,
                          sum(coalesce(j.wall_s, 0))::int8 AS wall_s,
                          sum(coalesce(j.wall_s, 0) * coalesce(j.cpus, 1))::int8 AS core_s,
                          sum(coalesce(j.cpu_s, 0))::int8 AS cpu_s
                   FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
                   JOIN submissions_batch b ON b.id = s.batch_id WHERE j.ended_at IS NOT NULL GROUP BY 1, 2, 3, 4) j
        USING (stage_id, day, site, state_code)
        WHERE (t.n, t.wall_s, t.core_s, t.cpu_s) IS DISTINCT FROM (j.n, j.wall_s, j.core_s, j.cpu_s)""",
}


def off() -> dict[str, int]:
    """Return how many rows of counters and of tallies differ from a recount of all jobs."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for name, sql in OFF.items():
            cursor.execute(sql)
            found[name] = int(cursor.fetchone()[0])
    return found


def figure(name: str, values: Sequence[float], unit: str, value: float | None = None) -> None:
    """Print one figure: the 95th percentile, or what is given, with median and largest beside it."""
    shown = {"value": p95(list(values)) if value is None else value, "median": median(values), "most": max(values)}
    print(json.dumps({"name": name, **{k: round(v, 3) for k, v in shown.items()}, "unit": unit}), flush=True)


def run(site: Site, sizes: Sequence[Size], slots: int, every: float, times: int) -> None:
    """Fill, measure and print."""
    cast = Cast(
        Experiment.objects.get(name="demo"),
        Experiment.objects.get(name="other"),
        {user.username: user for user in User.objects.all()},
    )
    cookie, keys = site.session(ROLE), Keys()
    live = live_campaigns(cast, slots)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    before, ticks, found = None, [], {}
    for size in sizes:
        past, before = fill(keys, size, before, cast), size
        looks = Looks(slots, every)
        with looks:
            found[size.name] = measured(site, cookie, pages(live, past), times)
        ticks += looks.told
        for name, values in found[size.name].items():
            figure(f"page_p95_ms_{name}_{size.name}", values, "ms")
    with Looks(slots, every, whole=True) as whole:
        pass
    figure("tick_500k_s", [told["took"] for told in ticks], "s")
    figure("tick_500k_wal_mb", [told["wal_mb"] for told in ticks], "MB", median(told["wal_mb"] for told in ticks))
    figure("tick_500k_whole_s", [told["took"] for told in whole.told], "s")
    figure("peak_rss_mb", [told["rss_mb"] for told in ticks], "MB", max(told["rss_mb"] for told in ticks))
    wrong = off()
    for name, number in wrong.items():
        figure(name, [number], "rows", number)
    side_by_side(found)
    print(
        json.dumps(
            {"jobs": Job.objects.count(), "live": Job.objects.filter(ended_at=None).count(), "ticks": len(ticks)}
        )
    )
    assert not any(wrong.values()), wrong


def side_by_side(found: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Print a line for each page: the 95th percentile at each size, the slowest pages last."""
    names = sorted(next(iter(found.values())), key=lambda name: max(p95(of[name]) for of in found.values()))
    for name in names:
        print(f"{name:24}" + "".join(f"{p95(of[name]):9.1f} ms {size}" for size, of in found.items()), file=sys.stderr)
