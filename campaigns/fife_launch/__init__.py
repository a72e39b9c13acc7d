"""The configuration that `fife_launch` reads: its stages, what they set, and what a command line changes. Pure.

The rules are those of fife_launch (reference protocols 7; fnal-fife/fife-utils, bin/fife_launch); each module says
which of them it keeps. What a person wrote wrong is a complaint with its line, never an exception.
"""

from campaigns.fife_launch import options
from campaigns.fife_launch.checking import PROGRAM, asked, check, fits, launches
from campaigns.fife_launch.model import Configuration, Entry, Filled, Section, Setting, Staged
from campaigns.fife_launch.reading import MOST_FILES, named, read
from campaigns.fife_launch.staging import staged, stages

__all__ = [
    "MOST_FILES", "PROGRAM", "Configuration", "Entry", "Filled", "Section", "Setting", "Staged", "asked", "check",
    "fits", "launches", "named", "options", "read", "staged", "stages",
]  # fmt: skip
