"""The `poms` command: finds the noun, runs the verb, and ends with an exit code that means something."""

from __future__ import annotations

import codecs
import difflib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from poms_client import __version__
from poms_client.commands._common import help_style, resolved
from poms_client.commands.reproduce import reproduce
from poms_client.commands.session import login, whoami
from poms_client.commands.stop import go_on, stop
from poms_client.commands.why import why
from poms_client.errors import INTERRUPTED, REFUSED, USED_WRONGLY, PomsError
from poms_client.output import complain, note

# noun: module under poms_client.commands, and its command group there
NOUNS = {
    "request": ("request", "app"),
    "campaign": ("campaign", "app"),
    "queue": ("queue", "app"),
    "stage": ("stage", "app"),
    "batch": ("batch", "app"),
    "submission": ("submission", "app"),
    "job": ("job", "app"),
    "command": ("command", "app"),
    "schedule": ("schedule", "app"),
    "file": ("file", "app"),
    "data": ("data", "app"),
    "split": ("split", "app"),
    "recover": ("recover", "app"),
    "reproduction": ("reproduce", "app"),
    "review": ("review", "app"),
    "site": ("site", "app"),
    "report": ("report", "app"),
    "template": ("library", "template"),
    "jobtype": ("library", "jobtype"),
    "setup": ("library", "setup"),
    "failure": ("failure", "app"),
    "route": ("failure", "rules"),
    "service": ("service", "app"),
    "hold": ("hold", "app"),
    "limit": ("limit", "app"),
    "credential": ("credential", "app"),
    "shift": ("shift", "app"),
    "host": ("hosting", "host"),
    "system": ("hosting", "system"),
    "loop": ("loop", "app"),
    "notice": ("notice", "app"),
    "outbox": ("outbox", "app"),
    "experiment": ("experiment", "app"),
    "token": ("token", "app"),
    "audit": ("audit", "app"),
}
# typer uses click or a copy of its own; its public BadParameter leads to the classes of either.
Usage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
Complaint: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


class Nouns(TyperGroup):
    """The nouns, each imported only when it is used: a command that is typed should answer at once."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the nouns and the few verbs without one."""
        return [*NOUNS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the group of a noun."""
        if cmd_name not in NOUNS:
            return super().get_command(ctx, cmd_name)
        module, name = NOUNS[cmd_name]
        return get_group(getattr(import_module(f"poms_client.commands.{module}"), name))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name the nearest noun when there is none of that name."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], known, 1)
            advice = f"is {near[0]} meant?" if near else f"nouns are {', '.join(NOUNS)}"
            ctx.fail(f"There is no {args[0]!r}; {advice}")
        return super().resolve_command(ctx, args)


def _app() -> typer.Typer:
    app = typer.Typer(
        name="poms",
        cls=Nouns,
        rich_markup_mode=help_style(),
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
        epilog="Exit codes: 0 done, 1 refused or failed, 2 a plan has something to do, 3 not allowed, 4 not found, "
        "5 service unavailable, 64 used wrongly. Reads POMS_URL, POMS_TOKEN or the file that `poms login` writes; "
        "POMS_RETRY_SECONDS and POMS_TIMEOUT say how patient it is.",
    )
    app.callback(invoke_without_command=True)(resolved(_root))
    app.command("login")(resolved(login))
    app.command("whoami")(resolved(whoami))
    app.command("why")(resolved(why))
    app.command("reproduce")(resolved(reproduce))
    app.command("stop")(resolved(stop))
    app.command("go-on")(resolved(go_on))
    return app


def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Productions of physics experiments: ask for them, run them, watch them. poms NOUN VERB [REF…]."""
    if version:
        print(f"poms {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        note(ctx.get_help())
        raise typer.Exit(USED_WRONGLY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    codecs.register_error("poms", _in_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="poms")
    try:
        code = get_command(_app())(
            list(sys.argv[1:] if arguments is None else arguments), prog_name="poms", standalone_mode=False
        )
        sys.stdout.flush()
    except PomsError as error:
        complain(error)
        return error.exit_code
    except Usage as error:
        return _explain(error)
    except Complaint as error:
        note(f"poms: {error.format_message()}")
        return REFUSED
    except (KeyboardInterrupt, typer.Abort):
        note("")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the pipe has seen enough (`poms job list | head`); nothing is left to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    return code if isinstance(code, int) else 0


def _in_letters(error: UnicodeError) -> tuple[str, int]:
    """Write what the terminal has no sign for in letters: a mark must not end the command."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = {"\u202f": " ", "·": "-", "→": "->", "…": "..."}
    return "".join(letters.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def _explain(error: Any) -> int:
    context = getattr(error, "ctx", None)
    note(f"poms: {error.format_message()}")
    if context is not None and hasattr(context.command, "commands"):
        note(context.get_help())
    elif context is not None:
        note(f"  {context.get_usage()}")
        note(f"  hint: {context.command_path} --help")
    return USED_WRONGLY


if __name__ == "__main__":
    sys.exit(main())
