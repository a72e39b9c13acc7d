"""Waste: when a campaign fails too much to go on, and what of a stage asks for too much or too little (D2, J8). Pure.

Each flag names the key of the definition to change, and a value that would fit. The figures are of the latest jobs of
the stage: what was asked at their launch against what they used.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Of an hour: by default half of at least twenty jobs. A longer hour reacts later, a shorter one has too few jobs.
SHARE, LEAST, WINDOW_MIN = 50, 20, 60
FEWEST = 10  # jobs that a flag rests on, at least
SHORT_S, GOOD_S = 600.0, 3600.0
NEAR_WALL, NEAR_MEMORY, IDLE_MEMORY, LOW_CPU = 0.9, 0.95, 0.5, 0.5
SPARE = 1.25
LITTLE_MB = 1000  # what asks for no more wastes little
ROUND_MB, ROUND_S = 100, 600
GROWTH, FIT = 0.3, 0.6  # memory that grows by so much from short to long jobs, and follows their time so closely


@dataclass(frozen=True)
class Failing:
    """How the jobs of a campaign ended lately: those that people removed and those on bad nodes are left out."""

    jobs: int
    failures: int
    nodes: int
    mean: float  # the share of failures as a mean over nodes: one bad node that eats jobs moves it little

    def is_too_much(self, share: int = SHARE, least: int = LEAST) -> bool:
        """Tell whether it fails above a limit in percent of so many jobs at least; 100 is never above."""
        return self.jobs >= least and 100 * self.failures > share * self.jobs and 100 * self.mean > share


@dataclass(frozen=True)
class Used:
    """What one ended job used: wall and processor time in seconds, peak memory in MB, its cores, and whether it did."""

    succeeded: bool
    wall_s: float | None = None
    cpu_s: float | None = None
    memory_mb: float | None = None
    cpus: int = 1
    code: str = ""
    memory_asked_mb: int = 0
    wall_asked_s: int = 0


@dataclass(frozen=True)
class Asked:
    """What the stage says now; `share` is the key by which a job gets more or less to do, with its value."""

    memory_mb: int
    wall_s: int
    cpus: int = 1
    share: str = "files_per_job"
    per_job: int = 1


@dataclass(frozen=True)
class Flag:
    """One thing that is wasteful: its word, a sentence, and what to change from which value to which."""

    word: str
    text: str
    parameter: str = ""
    now: str = ""
    proposed: str = ""


def flags(jobs: Sequence[Used], asked: Asked) -> list[Flag]:
    """Return what is wasteful in the latest jobs of a stage, in the order in which it is best changed."""
    good = [job for job in jobs if job.succeeded and job.wall_s is not None and job.wall_s > 0]
    found = [_memory_short(jobs, asked), _leak(good, asked), _too_long(jobs, asked)]
    if len(good) >= FEWEST:
        found += [_too_short(good, asked), _memory_idle(good, asked), _low_cpu(good, asked)]
    return [flag for flag in found if flag is not None]


def _too_short(good: Sequence[Used], asked: Asked) -> Flag | None:
    median = statistics.median(job.wall_s or 0 for job in good)
    if median >= SHORT_S:
        return None
    # Ten times as much at once, at the most: what is known of small jobs may not hold for large ones.
    more = min(10, max(2, math.ceil(GOOD_S / max(median, 1))))
    text = f"half of its jobs run less than {_span(median)}: starting them costs more than they do"
    return Flag("too_short", text, asked.share, str(asked.per_job), str(asked.per_job * more))


def _too_long(jobs: Sequence[Used], asked: Asked) -> Flag | None:
    timed = [job for job in jobs if job.wall_s is not None and (job.succeeded or job.code == "wall")]
    if len(timed) < FEWEST:
        return None
    over = [job for job in timed if job.code == "wall" or _above(job.wall_s, NEAR_WALL, job.wall_asked_s)]
    if 20 * len(over) <= len(timed):
        return None
    longest = max((job.wall_s or 0 for job in timed), default=0)
    if all(job.wall_asked_s and job.wall_asked_s < asked.wall_s for job in over):
        return None  # more time is asked for already
    wall = _up(max(longest, asked.wall_s) * SPARE, ROUND_S)
    text = f"{len(over)} of {len(timed)} jobs used more than {NEAR_WALL:.0%} of their time limit, or all of it"
    if asked.per_job > 1:
        return Flag("too_long", text, asked.share, str(asked.per_job), str(max(1, asked.per_job // 2)))
    return Flag("too_long", text, "wall_s", str(asked.wall_s), str(wall))


def _memory_short(jobs: Sequence[Used], asked: Asked) -> Flag | None:
    known = [job for job in jobs if job.memory_mb or job.code == "memory"]
    if len(known) < FEWEST:
        return None
    near = [job for job in known if job.code == "memory" or _above(job.memory_mb, NEAR_MEMORY, job.memory_asked_mb)]
    if 20 * len(near) <= len(known):
        return None
    if all(job.memory_asked_mb and job.memory_asked_mb < asked.memory_mb for job in near):
        return None  # more is asked for already
    peak = max([job.memory_mb or 0 for job in known] + [float(job.memory_asked_mb) for job in near])
    wanted = _up(max(peak, asked.memory_mb) * SPARE, ROUND_MB)
    text = f"{len(near)} of {len(known)} jobs used more than {NEAR_MEMORY:.0%} of the memory asked for, or ended by it"
    return Flag("too_little_memory", text, "memory_mb", str(asked.memory_mb), str(wanted))


def _memory_idle(good: Sequence[Used], asked: Asked) -> Flag | None:
    peaks = [job.memory_mb for job in good if job.memory_mb]
    if len(peaks) < FEWEST or asked.memory_mb <= LITTLE_MB:
        return None
    most = max(peaks)
    wanted = max(LITTLE_MB, _up(most * SPARE, ROUND_MB))
    if most >= IDLE_MEMORY * asked.memory_mb or wanted >= asked.memory_mb:
        return None
    text = f"no job used more than {most:.0f} MB of the {asked.memory_mb} MB asked for: others could use the slots"
    return Flag("too_much_memory", text, "memory_mb", str(asked.memory_mb), str(wanted))


def _leak(good: Sequence[Used], asked: Asked) -> Flag | None:
    """Tell whether peak memory grows with a job's time: what runs twice as long keeps much more."""
    pairs = [(job.wall_s or 0.0, job.memory_mb) for job in good if job.memory_mb]
    if len(pairs) < FEWEST or len({wall for wall, _ in pairs}) < 3 or len({peak for _, peak in pairs}) < 3:
        return None
    walls, peaks = [wall for wall, _ in pairs], [float(peak) for _, peak in pairs]
    slope, start = statistics.linear_regression(walls, peaks)
    low, high = start + slope * min(walls), start + slope * max(walls)
    if low <= 0 or high < (1 + GROWTH) * low or statistics.correlation(walls, peaks) ** 2 < FIT:
        return None
    text = (
        f"memory grows with the time that a job runs, by {slope * 3600:.0f} MB an hour: a leak, or too much in one job"
    )
    fewer = str(max(1, asked.per_job // 2))
    return Flag("leak", text, asked.share, str(asked.per_job), fewer if asked.per_job > 1 else "")


def _low_cpu(good: Sequence[Used], asked: Asked) -> Flag | None:
    timed = [job for job in good if job.cpu_s is not None]
    if len(timed) < FEWEST:
        return None
    share = sum(job.cpu_s or 0 for job in timed) / sum((job.wall_s or 0) * job.cpus for job in timed)
    if share >= LOW_CPU:
        return None
    text = f"its jobs compute {share:.0%} of the time that their cores are theirs"
    if asked.cpus > 1:
        return Flag("low_efficiency", text, "cpus", str(asked.cpus), str(max(1, math.ceil(share * asked.cpus))))
    return Flag("low_efficiency", f"{text}: they wait, mostly for input", "sites", "", "those where its input lies")


def _above(used: float | None, share: float, asked: int) -> bool:
    return bool(used and asked and used > share * asked)


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
