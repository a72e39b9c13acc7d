"""The command of a launch: parameters by precedence, keywords filled in, arguments byte for byte. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

Pair = tuple[str, str]
_REFERENCE = re.compile(r"%(?:\((\w+)\)s|(%))")


def overlay(*layers: Iterable[Pair]) -> list[Pair]:
    """Join parameter layers, lowest first: a later equal key replaces the value, keeping the first position."""
    values: dict[str, str] = {}
    for layer in layers:
        for key, value in layer:
            values[key] = value
    return list(values.items())


def fill(text: str, words: Mapping[str, str]) -> str:
    """Replace each %(name)s by its word and %% by one percent sign; raise KeyError for an unknown name."""
    return _REFERENCE.sub(lambda match: "%" if match[2] else words[match[1]], text)


def references(text: str) -> list[str]:
    """Return the names that a text refers to."""
    return [match[1] for match in _REFERENCE.finditer(text) if match[1]]


def words_of(
    keywords: Mapping[str, str], *, experiment: str, campaign: str, stage: str, version: str, dataset: str,
    experimenter: str, pass_number: int = 1,
) -> dict[str, str]:  # fmt: skip
    """Return what %(…)s stands for in scripts and parameters (reference poms 5): a campaign's own words, then ours."""
    return {
        **keywords, "experiment": experiment, "group": experiment, "version": version, "dataset": dataset,
        "parameter": dataset, "campaign": campaign, "stage": stage, "experimenter": experimenter,
        "pass": str(pass_number),
    }  # fmt: skip


def environment_of(*, experiment: str, campaign: str, stage: str, stage_type: str) -> dict[str, str]:
    """Return what every launch of a stage finds in its environment (protocols 5 for the POMS4 names)."""
    return {
        "POMS4_CAMPAIGN_NAME": campaign, "POMS4_CAMPAIGN_STAGE_NAME": stage, "POMS4_CAMPAIGN_STAGE_TYPE": stage_type,
        "POMS_EXPERIMENT": experiment,
    }  # fmt: skip


def argv(script: str, pairs: Sequence[Pair], words: Mapping[str, str]) -> list[str]:
    """Return the script and its arguments, never to be read by a shell again (J2).

    The script's text is split as a shell would. A parameter whose key ends in a blank is two arguments
    (`--stage ` + `gen`), any other is one (`-Oglobal.x=` + `1`), as the text form has meant it.
    """
    parts = [fill(word, words) for word in shlex.split(script)]
    for key, value in pairs:
        name, filled = fill(key, words), fill(value, words)
        parts += [name.strip(), filled] if name.endswith(" ") and name.strip() else [name.lstrip() + filled]
    return parts
