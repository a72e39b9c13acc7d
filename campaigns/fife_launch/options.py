"""Reads the words after `fife_launch` as it does: with optparse, so -Oa.b=c, -O a.b=c, --override=a.b=c. Pure."""

from __future__ import annotations

import optparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from core.errors import Problem


@dataclass
class Options:
    """What a command line asks for; `overrides` are (section, key, value)."""

    configuration: str = ""
    stages: list[str] = field(default_factory=list)
    overrides: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Wrong(Exception):
    """What optparse says about a word that it cannot read."""


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        raise _Wrong(msg)


def read(words: Sequence[str]) -> Options:
    """Read the words of a command, without the program itself."""
    parser = _Parser(usage=optparse.SUPPRESS_USAGE, add_help_option=False)
    parser.add_option("-c", "--config", default="")
    parser.add_option("-O", "--override", action="append", default=[])
    parser.add_option("--stage", action="append", default=[])
    for name in ("--jobname", "--config_dump"):
        parser.add_option(name)
    for name in ("--arg_push", "--arg_del"):
        parser.add_option(name, action="append")
    for name in ("--fake", "--dry_run"):
        parser.add_option(name, action="store_true")
    try:
        found, more = parser.parse_args(list(words))
    except _Wrong as error:
        hint = "it takes -c, --stage, -O, --jobname, --fake, --dry_run, --config_dump, --arg_push and --arg_del"
        return Options(problems=[Problem("parameters", f"fife_launch would say: {error}", hint)])
    options = Options(found.config, found.stage)
    for given in found.override:
        if problem := _override(given, options):
            options.problems.append(problem)
    if more:
        text = f"fife_launch takes no further words: {' '.join(more)[:80]}"
        options.problems.append(Problem("parameters", text, "a blank at the end of a key parts it from its value"))
    return options


def _override(given: str, options: Options) -> Problem | None:
    """Add one -O, or return what is wrong with it."""
    name, equals, value = given.partition("=")
    section, dot, key = name.partition(".")
    if not equals or not dot or not section or not key:
        return Problem(f"-O{name[:80]}", "fife_launch cannot parse this", "write -Osection.key=value")
    options.overrides.append((section, key, value))
    return None
