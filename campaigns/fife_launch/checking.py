"""Does what a campaign's stage passes to fife_launch name things that its configuration has? Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from campaigns import command
from campaigns.command import Pair
from campaigns.fife_launch import options
from campaigns.fife_launch.filling import names_in
from campaigns.fife_launch.model import EVALUATED, STAGE, Configuration, Setting, Staged
from campaigns.fife_launch.options import Options
from campaigns.fife_launch.staging import staged
from campaigns.fife_launch.words import KEYS, MOST_TOLD, REQUIRED, bare
from core.errors import Problem, nearest

PROGRAM = "fife_launch"
OVERRIDE_ME = "override_me"  # what experiments write where a launch must say something
FIRST_LINES = 20


class _Open(dict[str, str]):
    """The words that are known before a launch; any other stands for itself."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def launches(script: str) -> bool:
    """Tell whether a launch script is fife_launch itself."""
    try:
        words = shlex.split(script)
    except ValueError:  # an open quote: the definition says so
        return False
    return bool(words) and words[0].rpartition("/")[2] == PROGRAM


def asked(parameters: Sequence[Pair], script: str = PROGRAM, words: Mapping[str, str] | None = None) -> Options:
    """Return what a launch script with these parameters asks of fife_launch."""
    try:
        line = command.argv(script, [(key, value) for key, value in parameters], _Open(words or {}))
    except ValueError as error:
        return Options(problems=[Problem("launch_script", f"this cannot be split into words: {error}")])
    return options.read(line[1:])


def check(
    found: Configuration, parameters: Sequence[Pair], *, script: str = PROGRAM, words: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return what of these parameters does not fit a configuration; all of them are warnings, nothing was launched.

    `parameters` are the ordered pairs of a stage laid over those of its job type, `script` the job type's launch
    script, `words` what %(…)s stands for in them.
    """
    return fits(found, asked(parameters, script, words))


def fits(found: Configuration, given: Options) -> list[Problem]:
    """Return what of a command's options does not fit a configuration, as far as people would read it."""
    return list(islice(_misfits(found, given), MOST_TOLD))


def _misfits(found: Configuration, given: Options) -> Iterator[Problem]:
    yield from given.problems
    if not given.configuration:
        yield Problem("-c", "fife_launch needs a configuration", f"{PROGRAM} -c FILE")
    if found.missing:
        return  # what is not here may have all that seems to be lacking; that it is missing is an error of the file
    for name in dict.fromkeys(given.stages):
        if name not in found.stages:
            hint = nearest(name, found.stages, _some("the stages are", found.stages))
            yield Problem(f"--stage {name}", f"there is no [{STAGE}{name}]; it is passed over", hint)
    for name in REQUIRED:
        if name not in found.sections:
            yield Problem(f"[{name}]", "fife_launch needs this section", f"add [{name}]")
    now = staged(found, given.stages, given.overrides)
    yield from now.problems
    yield from _overrides(found, now, given)
    yield from _values(found, now)


def _some(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - FIRST_LINES} more" if len(names) > FIRST_LINES else ""
    return f"{what} {', '.join(names[:FIRST_LINES]) or 'none'}{more}"


def _overrides(found: Configuration, now: Staged, given: Options) -> Iterator[Problem]:
    """Yield what is wrong with each -O."""
    sections = {section for section, _, _ in given.overrides} & set(found.sections)
    known = {section: _known(found, section) for section in sections}
    shared = {setting.key for setting in now.settings if setting.section == "global"}
    for section, key, _ in dict.fromkeys(given.overrides):
        where = f"-O{section}.{key}"
        if section.startswith(STAGE):
            hint = f"set the key itself: -O{key}=…" if "." in key else "set the key itself"
            yield Problem(where, "an override of a stage changes nothing", hint)
        elif section not in found.sections:
            continue  # said already, with the nearest section
        elif section != "global" and key in shared:
            text = f"this changes nothing: [global] {key} is taken in every section"
            yield Problem(where, text, f"-Oglobal.{key}=…")
        elif KEYS.get(bare(section), ()) is not None and bare(key) not in known[section]:
            hint = nearest(key, sorted(known[section]), f"it is added to [{section}] all the same")
            yield Problem(where, f"nothing in the configuration sets or uses {section}.{key}", hint)


def _known(found: Configuration, section: str) -> set[str]:
    """Return the keys of a section that the files set or refer to anywhere, or that fife_launch knows."""
    keys = set(KEYS.get(bare(section)) or ())
    for name, known in found.sections.items():
        for key, entry in known.entries.items():
            part, _, rest = key.partition(".") if name.startswith(STAGE) else (name, "", key)
            if part == section or (name == EVALUATED and section == "global"):
                keys |= {rest, bare(rest)}
            if section in ("global", part):
                keys |= set(names_in(entry.value))
    return keys | {bare(key) for key in keys}


def _values(found: Configuration, now: Staged) -> Iterator[Problem]:
    """Yield each name that refers to nothing once, and each value that cannot be filled in or was left to be set."""
    names = sorted({setting.key for setting in now.settings if setting.section == "global"})
    told: set[str] = set()
    for setting in now.settings:
        if bare(setting.section) not in KEYS:
            continue  # nothing reads it
        where, line = _where(found, setting), setting.entry.line or None
        if setting.filled.wrong:
            yield Problem(where, setting.filled.wrong, "write %% for a percent sign", line)
        elif setting.section != "global" and OVERRIDE_ME in (setting.filled.text or ""):
            yield Problem(where, f"this still says {OVERRIDE_ME}", "set it with -O or in a stage", line)
        for name in setting.filled.unset:
            if name not in told:
                told.add(name)
                hint = nearest(name, names, f"-Oglobal.{name}=…, or set it in [global]", likeness=0.75)
                yield Problem(where, f"%({name})s refers to nothing", hint, line)


def _where(found: Configuration, setting: Setting) -> str:
    by = setting.entry.by
    if by == "-O":
        return f"-O{setting.section}.{setting.key}"
    if by.startswith(STAGE):
        return found.where(setting.entry, by, f"{setting.section}.{setting.key}")
    return found.where(setting.entry, setting.section, setting.key)
