"""What the nouns share: options, the connection, the verbs list, show, history, and those with a reason."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, Optional, get_type_hints

import typer

from poms_client import formatting, settings
from poms_client.errors import PomsError, Unavailable, UsedWrongly
from poms_client.output import Output, complain, note
from poms_client.refs import Noun
from poms_client.states import JOB_ENDED

Experiment = Annotated[
    Optional[str],
    typer.Option("--experiment", "-e", metavar="E", help="The experiment; completes references such as c1."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Give the API's objects.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Give references only.")]
Reason = Annotated[
    Optional[str], typer.Option("--reason", "-r", metavar="TEXT", help="Why; it is kept in the history.")
]
State = Annotated[Optional[str], typer.Option("--state", "-s", metavar="STATE", help="Only those in this state.")]
Limit = Annotated[Optional[int], typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many.")]
Sets = Annotated[
    Optional[list[str]],
    typer.Option("--set", metavar="KEY=VALUE", help="A further field; may be repeated."),
]
Where = Annotated[
    Optional[list[str]],
    typer.Option("--where", "-w", metavar="KEY=VALUE", help="Only those, by a filter of the API; may be repeated."),
]
Refs = Annotated[list[str], typer.Argument(metavar="REF", show_default=False, help="For example demo/c1.")]
Ref = Annotated[str, typer.Argument(metavar="REF", show_default=False, help="For example demo/c1.")]

HISTORY = ("at", "of", "verb", "from", "to", "actor", "reason")


class Verb(NamedTuple):
    """A verb that is said to objects: whether it wants a reason, and whether it ends work that runs."""

    help: str
    reason: bool = True
    ends_work: bool = False


def noun_app(word: str, help: str) -> typer.Typer:
    """Return the empty command group of a noun."""
    return typer.Typer(name=word, help=help, rich_markup_mode=help_style(), add_completion=False)


def help_style() -> Any:
    """Return how typer writes help: with frames and colours for people only."""
    return "rich" if sys.stdout.isatty() else None


def connect(patience: float | None = None) -> Any:
    """Return the client by the settings; raise UsedWrongly when they are missing.

    `patience` is in seconds, by default POMS_RETRY_SECONDS or 20.
    """
    from poms_client.client import Client

    known = settings.load()
    return Client(
        known.url,
        known.token,
        timeout=settings.seconds("POMS_TIMEOUT", 30.0),
        patience=settings.seconds("POMS_RETRY_SECONDS", 20.0) if patience is None else patience,
        on_wait=tell_of_waiting,
    )


def tell_of_waiting(problem: Unavailable, wait: float) -> None:
    """Tell people at a terminal why nothing happens."""
    if sys.stderr.isatty():
        note(f"poms: {formatting.one_line(problem.summary)}; trying again in {formatting.duration(wait)}")


def for_each(client: Any, refs: Sequence[str], act: Callable[[str], int | None]) -> None:
    """Act on each object, go on after refusals, and leave with the worst exit code."""
    worst = 0
    patience = client.patience
    for ref in refs:
        try:
            worst = max(worst, act(ref) or 0)
            client.patience = patience
        except PomsError as error:
            complain(error, about=ref)
            worst = max(worst, error.exit_code)
            if isinstance(error, Unavailable):
                # Waited for already: the objects that follow get one try each.
                client.patience = 0.0
    if worst:
        raise typer.Exit(worst)


ToFile = Annotated[Optional[str], typer.Option(metavar="FILE", help="Write all of them to this file; - is stdout.")]
FILES = [
    inspect.Parameter(form, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ToFile)
    for form in ("csv", "parquet")
]


def add_list(
    app: typer.Typer,
    noun: Noun,
    columns: Sequence[str],
    empty: str,
    filters: Sequence[Noun] = (),
    files: bool = False,
) -> None:
    """Add `list`, with an option for each filter that the noun knows, and with `files` those that write one."""

    def list_(
        experiment: Experiment = None,
        state: State = None,
        where: Where = None,
        limit: Limit = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
        **narrowed: Optional[str],
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        query: dict[str, Any] = {"experiment": experiment, "state": state, **fields(where, "--where")}
        for kind in filters:
            given = narrowed[kind.word]
            query[kind.word] = kind.full(given, experiment) if given else None
        for form in FILES if files else ():
            if target := narrowed[form.name]:
                written = connect().save([noun.collection, "export"], target, to=form.name, **query)
                note(f"poms: {written} bytes written to {target}")
                return
        found = connect().list(noun.collection, limit=limit, **query)
        output.rows(found, columns, empty, limit)

    app.command("list", help=f"List {noun.collection}.")(_with_options(list_, filters, FILES if files else ()))


def resolved(function: Callable[..., None]) -> Callable[..., None]:
    """Evaluate the annotations of a command: under Python 3.9 typer does not see through their text."""
    # By way of a class, since to a function's parameter with the default None 3.9 adds another Optional.
    bearer = type("Bearer", (), {"__annotations__": function.__annotations__})
    hints = get_type_hints(bearer, globalns=function.__globals__, include_extras=True)
    function.__annotations__ = hints
    return function


def _with_options(
    function: Callable[..., None], filters: Sequence[Noun], more: Sequence[inspect.Parameter] = ()
) -> Callable[..., None]:
    """Tell typer of the options that `**narrowed` takes."""
    shown = [
        parameter
        for parameter in inspect.signature(resolved(function)).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    shown += [
        inspect.Parameter(
            kind.word,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Optional[str], typer.Option(metavar="REF", help=f"Only those of this {kind.word}.")],
        )
        for kind in filters
    ]
    shown += more
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # what inspect reads; typeshed leaves it out
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return function


def add_show(app: typer.Typer, noun: Noun) -> None:
    """Add `show`."""

    def show(refs: Refs, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        client = connect()
        for_each(client, refs, lambda ref: output.one(client.show(noun.collection, noun.full(ref, experiment))))

    app.command("show", help=f"Show everything about a {noun.word}.")(resolved(show))


def add_history(app: typer.Typer, noun: Noun) -> None:
    """Add `history`."""

    def history(
        ref: Ref,
        experiment: Experiment = None,
        limit: Limit = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        found = connect().history(noun.collection, noun.full(ref, experiment), limit=limit)
        output.rows(found, HISTORY, "Nothing happened to it yet.", limit)

    app.command("history", help=f"Show what happened to a {noun.word}: when, by whom, why.")(resolved(history))


def add_verbs(app: typer.Typer, noun: Noun, verbs: dict[str, Verb]) -> None:
    """Add verbs that take references and a reason."""
    for word, verb in verbs.items():
        app.command(word, help=verb.help)(resolved(_saying(noun, word, verb)))


def _saying(noun: Noun, word: str, verb: Verb) -> Callable[..., None]:
    def say_verb(
        refs: Refs,
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        say(noun, word, verb, refs, reason, experiment, Output(as_json=as_json, quiet=quiet))

    return say_verb


def say(
    noun: Noun,
    word: str,
    verb: Verb,
    refs: Sequence[str],
    reason: str | None,
    experiment: str | None,
    output: Output,
    **more: Any,
) -> None:
    """Say a verb to each object and write a line on each."""
    client = connect()
    if verb.reason and not (reason or "").strip():
        if verb.ends_work and at_terminal():
            for ref in refs:
                note(f"poms: {consequence(client, noun, noun.full(ref, experiment), word)}")
        reason = ask_reason(word, refs)

    def act(given: str) -> None:
        ref = noun.full(given, experiment)
        answer = client.verb(noun.collection, ref, word, (reason or "").strip(), **more)
        output.done(ref, word, answer)

    for_each(client, refs, act)


def at_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_reason(word: str, refs: Sequence[str]) -> str:
    """Ask for the reason at a terminal; raise UsedWrongly where nobody can be asked or nothing is said."""
    hint = 'Say why: --reason "…"; it is kept in the history.'
    if not at_terminal():
        raise UsedWrongly(f"{word} needs a reason", hint=hint)
    reason = ask(f"Why {word} {', '.join(refs)}? ").strip()
    if not reason:
        raise UsedWrongly(f"{word} needs a reason; nothing was done", hint=hint)
    return reason


def ask(question: str) -> str:
    """Ask on stderr, so that a redirected stdout stays clean, and return the line."""
    sys.stderr.write(formatting.one_line(question))
    sys.stderr.flush()
    return sys.stdin.readline().rstrip("\n")


def consequence(client: Any, noun: Noun, ref: str, word: str) -> str:
    """Return what a verb will do to how many things."""
    item = client.show(noun.collection, ref)
    state = formatting.words(item.get("state", ""))
    counts = item.get("jobs")
    if not isinstance(counts, dict):
        return f"{word} ends {ref}, which is {state}"
    unfinished = {name: count for name, count in counts.items() if name not in JOB_ENDED}
    total = sum(count for count in unfinished.values() if isinstance(count, int))
    what = f"{total} unfinished jobs ({formatting.tally(unfinished)})" if total else "no unfinished job"
    return f"{word} ends {ref}, which is {state} and has {what}"


def fields(given: Sequence[str] | None, option: str = "--set") -> dict[str, str]:
    """Return the KEY=VALUE pairs of an option; raise UsedWrongly on others."""
    found = {}
    for pair in given or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsedWrongly(f"{option} {pair!r} is not of the form KEY=VALUE")
        found[key.strip()] = value
    return found
