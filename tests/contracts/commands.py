"""Says every command of `poms` to the site, in this process, and notes which calls of the API each makes."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import requests
from django.db import transaction
from django.test import Client
from django.urls import resolve
from poms_client.main import _app, main
from requests.adapters import BaseAdapter
from typer.main import get_command

from experiments.models import User
from integrations.uploads import keeping
from tests import builders
from tests.contracts import test_page_access
from tests.contracts.world import Corner

SITE = "http://poms.test"
# What a command without a line of its own is said to, by its noun.
THINGS = {
    "request": "draft", "campaign": "campaign", "stage": "stage", "batch": "live", "submission": "running", "job": "job",
    "schedule": "schedule", "reproduction": "again", "review": "campaign", "site": "excluded", "template": "template",
    "jobtype": "jobtype", "setup": "setup", "failure": "failure", "route": "route", "service": "outside", "hold": "hold",
    "limit": "limit", "credential": "credential", "shift": "shift", "host": "host", "system": "system",
}  # fmt: skip
# Commands that need more than a reference and a reason, or do several things; {word} is a thing of the world, or a file.
# A line may say what has to be done before: it is of its last command.
LINES = """
request create -e demo -t begun --production-stage mc -d {text}
request create -e demo -t begun --production-stage mc --template start
request new -e demo -t begun --production-stage mc -d {text}
request edit {draft} --title better
request approve {pending} -r fine
request return {pending} -r why
request reject {pending} -r why
request extend {keepup} -r why
request clone {pending} --title like
request test {draft} --size 1
request confirm {pending} --all
request untick {pending} --tick seen -r why
request merge {pending} {like} -r same
request split {reading} --first 1 -r why
request priority {pending} --to 60 -r why
request comment {draft} "what for?"
request attach {draft} {raw}
request detach {draft} note.txt -r why
request partners {pending}
campaign archive {unasked}
campaign archive {unasked} && campaign unarchive {unasked}
campaign delete {unasked} -r why
campaign tag {unasked} --tag spring
campaign untag {unasked} --tag old
campaign clone {unasked} --name other
campaign limit-waste {campaign} --share 60 -r why
campaign prioritise {campaign} --rank 60 -r why
campaign boost {campaign} --hours 4 -r why
campaign boost {campaign} --hours 4 -r why && campaign unboost {campaign} -r why
campaign sign-off {signing} gen -r good
campaign accept {signing} gen -r good
campaign process-again {campaign} gen -r why
campaign import -e demo {text}
campaign plan -e demo {text}
campaign apply -e demo --production-stage mc {text}
campaign fife -e demo {config}
campaign watch {campaign} --timeout 0.01
campaign edit {unasked} {changed}
queue show -e demo
queue preview -e demo {campaign}
queue order -e demo {campaign} -r why
stage register {stage} --command submit --job 12@far -r why
batch relaunch {broken} -r why
batch recover {broken} -r why
batch package {live} -o {folder}/package.zip
batch launch-with {broken} -p '["--tune ", "G18"]' -r why
batch list -e demo --csv {folder}/batches.csv
batch list -e demo
submission list -e demo --csv {folder}/submissions.csv
submission list -e demo
submission adopt {unsure} -r why
submission give-up {unsure} -r why
job list -e demo --csv {folder}/jobs.csv
job list -e demo
job over-time -e demo
job compare {job} --with {job}
job outcomes {command}
job outcomes --selection 00000000-0000-4000-8000-000000000000
file story raw1-demo -e demo
file declare -e demo {raw}
file upload -e demo {note}
file download -e demo kept.txt -o {folder}/kept.txt
file remove-upload -e demo kept.txt
data list -e demo
data list -e demo --read
data show raw -e demo
data query "file_name raw1-demo" -e demo
split preview -e demo raw nfiles(1)
recover plan {broken}
recover plan {campaign}
recover plan {stage}
recover apply {broken} -r why
recover apply {campaign} -r why
recover apply {stage} -r why
reproduction sign-off {again} -r same
review verdict {campaign} good -r why
site show {excluded}
site exclude worse -e demo --system local -r why
site release {excluded} -r why && site exclude {excluded} -r why
site extend {excluded} --hours 4 -r why
site guard
site guard local --mode act -r why
report show -e demo
template create -e demo --name new --file {template_file}
template edit {template} --set title=Better -r why
template edit {template} --set title=Better -r why && template restore {template} --version 1 -r why
template publish {template} -r why
template publish {template} -r why && template withdraw {template} -r why
template use {template} --name used
template of {unasked} --name begun
jobtype create -e demo --name new --set launch_script=/bin/true
jobtype edit {jobtype} --set launch_script=/bin/false -r why
jobtype edit {jobtype} --set launch_script=/bin/false -r why && jobtype restore {jobtype} --version 1 -r why
setup create -e demo --name new
setup edit {setup} --set account=other -r why
setup edit {setup} --set account=other -r why && setup restore {setup} --version 1 -r why
setup test {setup} --wait 0.1
schedule pause {schedule} -r why && schedule resume {schedule} -r why
setup trials {setup}
command show {command}
command history {command}
failure fix {failure} --text again
failure route {failure} --to sam -r why
failure link {failure} https://desk.example.org/1
route add -e demo --to sam --cause node -r why
service add new -e demo --kind none -r why
service change {outside} --title Better -r why
service override {outside} down -r why
service downtime {outside} --until 2999-01-01T00:00Z -r why
service downtime {outside} --until 2999-01-01T00:00Z -r why && service downtime {outside} --end -r why
hold add campaign {unasked} -r why
limit add jobs 5 -e demo -r why
limit waste -e demo
limit waste -e demo --share 60 -r why
credential add new -e demo --kind scitoken --path /opt/new.token -r why
credential change {credential} --set path=/opt/moved.token -r why
credential renew {credential} -r why --wait 0.1
credential check {credential} --wait 0.1
shift add shifter -e demo --from 2036-12-01T06:00Z --until 2036-12-01T14:00Z
shift show -e demo
shift read -e demo
shift log -e demo
host add -e demo --name far.example.org --account mcprod --home /scratch/poms --keys {keys} -r why
host change {host} --home /scratch2/poms -r why
system add --name second --backend local -r why
system change {system} --inactive -r why
loop retry {trouble} -r why
notice read --all
notice set decided=digest
outbox show -e demo
outbox webhook https://hooks.example.org/poms -e demo -r why
outbox desk '' -e demo -r why
outbox logbook '' -e demo -r why
outbox again -e demo
token create mine --days 1
token revoke {token}
audit events -e demo
audit verify
login --url http://poms.test
why {draft} {campaign} {stage} {live} {running} {job}
reproduce {live} -r why
stop --list
stop -e demo --jobs leave -r why --yes
stop --all --jobs leave -r why --yes
stop -e demo --jobs leave -r why --yes && go-on -e demo -r why
stop --all --jobs leave -r why --yes && go-on --all -r why
campaign hold {campaign} -r why
campaign release {campaign} -r why
submission kill {running} -r why
submission hold {running} -r why
submission release {running} -r why
job kill {job} -r why
job hold {job} -r why
job release {job} -r why
job kill -e demo --state processing -r why --yes
job hold -e demo --state processing -r why --yes
job release -e demo --state held -r why --yes
job retry -e demo --state processing -r why --yes
submission kill -e demo --state running -r why --yes
submission hold -e demo --state running -r why --yes
submission release -e demo --state running -r why --yes
submission retry -e demo --state running -r why --yes
submission launch -e demo --state running -r why --yes
batch kill -e demo --state failed -r why --yes
batch hold -e demo --state failed -r why --yes
batch release -e demo --state failed -r why --yes
batch retry -e demo --state failed -r why --yes
batch launch -e demo --state failed -r why --yes
stage kill -e demo --state incomplete -r why --yes
stage hold -e demo --state incomplete -r why --yes
stage release -e demo --state incomplete -r why --yes
stage retry -e demo --state incomplete -r why --yes
stage launch -e demo --state incomplete -r why --yes
campaign kill -e demo --state running -r why --yes
campaign hold -e demo --state running -r why --yes
campaign release -e demo --state running -r why --yes
campaign retry -e demo --state running -r why --yes
campaign launch -e demo --state running -r why --yes
"""


@dataclass(frozen=True)
class Call:
    """One call of the API: the route's name and method, and the status of the answer."""

    route: str
    method: str
    status: int


@dataclass
class Said:
    """What became of one line: its calls, its exit code, and what it wrote."""

    line: str
    calls: list[Call]
    code: int
    wrote: str = ""


class Site(BaseAdapter):
    """Carries the requests of the client into the site, in this process and in the transaction of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Answer one request."""
        url = urlsplit(str(request.url))
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        kind = headers.pop("Content-Type", "application/octet-stream")
        answer = Client(raise_request_exception=False).generic(
            str(request.method), f"{url.path}?{url.query}", body, kind, headers=headers
        )
        self.calls.append(Call(str(resolve(unquote(url.path)).url_name), str(request.method), answer.status_code))
        made = requests.Response()
        made.status_code, made.url, made.request = answer.status_code, str(request.url), request
        made.headers.update(dict(answer.items()))
        made.raw = io.BytesIO(b"".join(answer.streaming_content) if answer.streaming else answer.content)
        return made

    def close(self) -> None:
        """Nothing is open."""


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Give every command with the words that name it: `campaign hold`, `why`."""
    root: Any = get_command(_app())
    context = root.make_context("poms", ["--help"], resilient_parsing=True)
    for word in root.list_commands(context):
        command = root.get_command(context, word)
        if hasattr(command, "commands"):
            yield from ((f"{word} {verb}", inner) for verb, inner in command.commands.items())
        else:
            yield word, command


def lines() -> dict[str, list[str]]:
    """Return for each command the lines that try it: its own ones, or one made of its noun."""
    found: dict[str, list[str]] = {name: [] for name, _ in leaves()}
    for line in LINES.strip().splitlines():
        last = line.rpartition("&& ")[2].split()
        name = next((name for name in (" ".join(last[:2]), last[0]) if name in found), None)
        if name is not None:  # a line of a command that is gone is found by a test
            found[name].append(line)
    for name, command in leaves():
        if not found[name]:
            found[name].append(usual(name, command))
    return found


def usual(name: str, command: click.Command) -> str:
    """Return the line of a command that wants a thing of its noun at most, and a reason perhaps."""
    words = [name]
    for parameter in command.params:
        if parameter.param_type_name == "argument" and parameter.name in ("ref", "refs"):
            words.append("{" + THINGS[name.split(maxsplit=1)[0]] + "}")
        elif parameter.name == "reason":
            words.append("-r why")
    return " ".join(words)


def files(folder: Path, corner: Corner) -> dict[str, str]:
    """Write the files that commands read; return them by name."""
    text = corner.definition
    wanted = {
        "text": ("new.ini", text), "changed": ("changed.ini", text.replace("name=made", "name=unasked") + "# later\n"),
        "note": ("new.txt", "read me"), "config": ("main.cfg", "[global]\ngroup = demo\n"),
        "raw": ("new.raw", "data"), "template_file": ("new.json", json.dumps({"title": "New", "definition": text})), "keys": ("keys", builders.host_key("far.example.org")),
    }  # fmt: skip
    for name, content in wanted.values():
        (folder / name).write_text(content)
    return {word: str(folder / name) for word, (name, _) in wanted.items()} | {"folder": str(folder)}


def say(line: str, corner: Corner, site: Site, given: dict[str, str], capsys: Any) -> Said:
    """Say one line to the site, and take back all that it changed."""
    steps = [[_filled(word, corner, given) for word in shlex.split(step)] for step in line.split(" && ")]
    site.calls = []
    with transaction.atomic():
        if "{trouble}" in line:
            steps = [[word.replace("{trouble}", f"t{test_page_access.a_trouble()}") for word in steps[0]]]
        if "kept.txt" in line:
            keeping.keep(corner.experiment, User.objects.get(username="captain"), "kept.txt", [b"kept"], declared=4)
        code = max(main(words) for words in steps)
        transaction.set_rollback(True)
    out, err = capsys.readouterr()
    return Said(line, list(site.calls), code, f"{out[-300:]}{err[-600:]}")


def _filled(word: str, corner: Corner, given: dict[str, str]) -> str:
    if not (word.startswith("{") and "}" in word) or word == "{trouble}":
        return word
    name, _, rest = word[1:].partition("}")
    return (given[name] if name in given else corner.ref(name)) + rest


def typed(text: str) -> io.TextIOWrapper:
    """Return a standard input on which somebody has typed a line."""
    return io.TextIOWrapper(io.BytesIO(f"{text}\n".encode()))
