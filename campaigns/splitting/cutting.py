"""From a list of inputs to slices: who shares one, and where the next begins. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

from campaigns.splitting.kinds import HALF_AN_HOUR, WEEK, Group, Input, Split

MOST_VALUES = 100_000


class Slice(NamedTuple):
    """The inputs of one batch, by their places in what was cut, and what they have in common, in a word."""

    label: str
    members: Sequence[int]


@dataclass
class Cut:
    """What became of all inputs: slices; what is left out for good, by why; and what waits for more to come."""

    slices: list[Slice] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    @property
    def taken(self) -> int:
        """Return how many inputs are in slices."""
        return sum(len(part.members) for part in self.slices)


def cut(split: Split, inputs: Sequence[Input], *, closed: bool = True, now: float = 0.0) -> Cut:
    """Cut inputs, in their order, into slices: a partition of those that are neither left out nor waiting (T4).

    While more may come (`closed` is false) a last slice that is not full, and a window of time that is not over at
    `now` (seconds since 1970), wait for it.
    """
    if not split.what.groups and split.weighs == "file":
        return _by_count(split, len(inputs), closed)  # nothing about any single input matters
    found = Cut()
    labels = _labels(split)
    groups: dict[tuple[float, str], list[int]] = {}
    for place, entry in enumerate(inputs):
        label = labels(entry)
        if isinstance(label, str):
            found.left_out[label] += 1
        else:
            groups.setdefault(label, []).append(place)
    for (order, label), members in sorted(groups.items()):
        over = closed or _is_over(split, order, now)
        rest = _weigh(split, inputs, label, members, found, closed=over)
        found.waiting += rest
    return found


def values(text: str) -> list[str]:
    """Return the combinations of a multiparam's lists, the first list varying fastest, words joined by _.

    Raises ValueError with a sentence for what is no JSON list of lists of words.
    """
    hint = 'for instance [["a", "b"], ["1", "2"]]'
    try:
        lists = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the values of multiparam are not JSON: {error}; {hint}") from None
    if not isinstance(lists, list) or not lists or not all(isinstance(words, list) and words for words in lists):
        raise ValueError(f"the values of multiparam are a list of lists of words; {hint}")
    if any(isinstance(word, (list, dict)) for words in lists for word in words):
        raise ValueError(f"the values of multiparam are words or numbers; {hint}")
    number = 1
    for words in lists:
        number *= len(words)
    if number > MOST_VALUES:
        raise ValueError(f"multiparam has {number} combinations; at most {MOST_VALUES} can be run")
    joined = ["_".join(str(word) for word in reversed(words)) for words in product(*reversed(lists))]
    twice = [word for word, times in Counter(joined).items() if times > 1]
    if twice:
        raise ValueError(f"two combinations of multiparam are both {twice[0]}; make the words differ")
    return joined


def datasets(text: str) -> list[str]:
    """Return the datasets of a list, each once; ValueError where there is none."""
    named = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not named:
        raise ValueError("the list names no dataset; it looks like first, second, third")
    return named


def _by_count(split: Split, number: int, closed: bool) -> Cut:
    size = split.limit or number
    if not number or not size:
        return Cut()
    if split.what.once:
        beyond = max(0, number - size)
        kept = Counter({"is beyond the limit of one look": beyond}) if beyond and closed else Counter()
        return Cut([Slice("", range(min(size, number)))], kept, 0 if closed else beyond)
    full = number // size if split.limit or closed else 0
    found = Cut([Slice("", range(at * size, (at + 1) * size)) for at in range(full)])
    if full * size < number:
        if closed:
            found.slices.append(Slice("", range(full * size, number)))
        else:
            found.waiting = number - full * size
    return found


def _weigh(
    split: Split, inputs: Sequence[Input], label: str, members: list[int], found: Cut, *, closed: bool
) -> int:  # fmt: skip
    """Cut one group by its limit; return how many of it wait for more."""
    if not split.limit:
        if closed:
            found.slices.append(Slice(label, members))
            return 0
        return len(members)
    weigh = _weight(split)
    begin = load = 0
    for at, place in enumerate(members):
        weight = weigh(inputs[place])
        if at > begin and load + weight > split.limit:
            found.slices.append(Slice(label, members[begin:at]))
            begin, load = at, 0
        load += weight
    rest = members[begin:]
    if rest and (closed or load >= split.limit):
        found.slices.append(Slice(label, rest))
        return 0
    return len(rest)


def _weight(split: Split) -> Callable[[Input], int]:
    if split.weighs == "events":
        return lambda entry: entry.events or 1
    if split.weighs == "bytes":
        return lambda entry: entry.size or 1
    return lambda entry: 1


def _labels(split: Split) -> Callable[[Input], Group]:
    """Return what gives each input its group."""
    if split.what.grouping is not None:
        return split.what.grouping(split)
    given, groups = split.given, split.what.groups
    if groups == "run":
        low, high = given.get("low", 0), given.get("high", 10**18)

        def by_run(entry: Input) -> Group:
            if entry.run is None:
                return "has no run number"
            return (entry.run, str(entry.run)) if low <= entry.run <= high else "is of a run outside the range"

        return by_run
    if groups == "taken_at":
        return _windows(split)
    if groups == "value":
        return lambda entry: (0.0, entry.value) if entry.value is not None else f"has no {split.key}"
    if groups == "rank":
        parts = given.get("n", 0)
        return lambda entry: (entry.rank % parts if parts else entry.rank, _slice_of(entry.rank, parts))
    if groups == "dataset":
        order: dict[str, int] = {}
        return lambda entry: (order.setdefault(entry.dataset, len(order)), entry.dataset)
    return lambda entry: (0.0, "")


def _slice_of(rank: int, parts: int) -> str:
    return f"{rank % parts + 1} of {parts}" if parts else ""


def _windows(split: Split) -> Callable[[Input], Group]:
    window = split.given.get("window", WEEK)
    first, last = split.given.get("firsttime"), split.given.get("lasttime")
    step = split.given.get("round", 1) or 1
    origin = first // step * step if first is not None else 0

    def by_window(entry: Input) -> Group:
        if entry.taken_at is None:
            return "has no time at which it was taken"
        if (first is not None and entry.taken_at < origin) or (last is not None and entry.taken_at >= last):
            return "was taken outside the times"
        begin = origin + (entry.taken_at - origin) // window * window
        return begin, _moment(begin)

    return by_window


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%MZ}"


def _is_over(split: Split, begin: float, now: float) -> bool:
    """Tell whether a window of time is over, and the files of it are expected to be in the catalogue."""
    if split.what.groups != "taken_at":
        return False
    return bool(begin + split.given.get("window", WEEK) + split.given.get("fts", HALF_AN_HOUR) <= now)
