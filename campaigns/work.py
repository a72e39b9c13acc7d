"""What a stage does to an input, as a hash: two stages with the same one do the same work twice (P4). Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from campaigns import command
from campaigns.definition import Pair, StageText


def work_of(stage: StageText, script: str, parameters: Sequence[Pair], patterns: str, words: Mapping[str, str]) -> str:
    """Return the hash of what a stage does to one input: script, parameters, release, and what it puts out.

    `words` are the keywords of the campaign; those that parameters or script refer to count. Where it runs, how it
    is split, memory and time do not count. A generator's seed and step do: they are its input.
    """
    texts = [script, *(text for pair in parameters for text in pair)]
    used = sorted({name for text in texts for name in command.references(text)} & set(words))
    made_of = [
        stage.type, script, [list(pair) for pair in parameters], stage.software_version, patterns,
        [[name, words[name]] for name in used],
        [stage.seed, stage.events_per_job] if stage.type == "generator" else [],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(made_of, ensure_ascii=False).encode()).hexdigest()
