"""`poms token`: the tokens by which programs speak for a person."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import AsJson, Limit, Quiet, connect, for_each, noun_app, resolved
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note

COLUMNS = ("id", "name", "account", "scopes", "experiments", "created", "expires", "used", "revoked")

app = noun_app("token", "Tokens for programs: list, create, revoke.")


@app.command("list")
@resolved
def list_tokens(limit: Limit = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List your tokens; the secrets are not kept and cannot be shown."""
    output = Output(as_json=as_json, quiet=quiet)
    output.rows(connect().list("tokens", limit=limit), COLUMNS, "No tokens. `poms token create` makes one.", limit)


@app.command("create")
@resolved
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    days: Annotated[int, typer.Option(metavar="N", min=1, help="How long it is valid.")] = 30,
    scope: Annotated[
        Optional[list[str]],
        typer.Option(metavar="SCOPE", help="It may only this: read, file, operate, decide, a permission; repeatable."),
    ] = None,
    only_experiment: Annotated[
        Optional[list[str]], typer.Option(metavar="E", help="It is good only in this experiment; repeatable.")
    ] = None,
    account: Annotated[
        str, typer.Option("--for", metavar="ACCOUNT", help="For a service account of yours, such as nightly@demo.")
    ] = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create a token and print its secret, this once, as the only line of stdout."""
    output = Output(as_json=as_json, quiet=quiet)
    body: dict[str, Any] = {"name": name, "days": days}
    # Only what was asked for is sent: an older service does not know the rest.
    body.update({key: value for key, value in (
        ("scopes", scope), ("experiments", only_experiment), ("account", account)
    ) if value})  # fmt: skip
    answer = connect().post("tokens", body)
    if output.as_json:
        output.document(answer)
    elif output.quiet:
        print(formatting.reference(answer))
    else:
        note(f"Token {formatting.reference(answer)}, valid for {days} d. It is shown only now; keep it secret:")
        print(formatting.one_line(str(answer.get("secret") or answer.get("token") or "")))


@app.command("revoke")
@resolved
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID", show_default=False)],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make tokens invalid at once."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()

    def act(given: str) -> None:
        if "/" in given:
            raise UsedWrongly(f"{given!r} is not the id of a token", hint="`poms token list` shows them.")
        output.done(given, "revoke", client.verb("tokens", given, "revoke"))

    for_each(client, ids, act)
