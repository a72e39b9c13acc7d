"""The command of a launch: parameters by precedence, keywords filled in, arguments byte for byte. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

Pair = tuple[str, str]
_REFERENCE = re.compile(r"%(?:\((\w+)\)s|(%))")
# What a set-up text may name: what stands for the launch, not what a campaign makes up.
OF_SETUPS = ("dataset", "parameter", "version", "group", "experimenter", "experiment")


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
    """Return what %(…)s stands for in scripts and parameters (reference poms 5): a campaign's own words, then ours.

    Version and dataset may themselves name words of the campaign.
    """
    version, dataset = (_known(text, keywords) for text in (version, dataset))
    return {
        **keywords, "experiment": experiment, "group": group_of(experiment), "version": version, "dataset": dataset,
        "parameter": dataset, "campaign": campaign, "stage": stage, "experimenter": experimenter,
        "pass": str(pass_number),
    }  # fmt: skip


def fill_setup(text: str, words: Mapping[str, str]) -> str:
    """Return a set-up text with its words filled in: ours alone, not a campaign's (reference poms 5).

    It is a program of a shell, in which much else may stand behind a percent sign: any other name stays as it is.
    """
    return fill(text, _WithUnknown((name, words[name]) for name in OF_SETUPS if name in words))


class _WithUnknown(dict[str, str]):
    """Words of which an unknown one stays as it was written."""

    def __missing__(self, name: str) -> str:
        return f"%({name})s"


def _known(text: str, words: Mapping[str, str]) -> str:
    """Replace each %(name)s of which the word is known; all else, %% too, stays as it is."""
    return _REFERENCE.sub(lambda match: words.get(match[1] or "", match[0]), text)


def group_of(experiment: str) -> str:
    """Return the group under which an experiment's jobs are submitted."""
    return {"samdev": "fermilab"}.get(experiment, experiment)


def environment_of(
    *, experiment: str, campaign: str, stage: str, stage_type: str, launcher: str = "", test: bool = False
) -> dict[str, str]:
    """Return what every launch of a stage finds in its environment, by the names of protocols 5.1.

    Scripts in the field put them into attributes and command lines, where a blank would part them.
    """
    campaign, stage, group = campaign.replace(" ", "_"), stage.replace(" ", "_"), group_of(experiment)
    return {
        "POMS4_CAMPAIGN_NAME": campaign, "POMS4_CAMPAIGN_STAGE_NAME": stage, "POMS4_CAMPAIGN_STAGE_TYPE": stage_type,
        "POMS4_CAMPAIGN_TYPE": "test" if test else "regular", "POMS4_TEST_LAUNCH": str(test),
        "POMS_CAMPAIGN_NAME": stage if stage.startswith(campaign) else f"{campaign}__{stage}",
        "POMS_LAUNCHER": launcher, "POMS_EXPERIMENT": experiment, "JOBSUB_GROUP": group, "GROUP": group,
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
