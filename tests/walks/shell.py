"""From a block of shell to its commands, and what is wrong with each, by the program itself that it calls."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.core.management import CommandError, get_commands, load_command_class
from django.urls import Resolver404, resolve
from poms_client import main
from typer.main import get_command

from tests.contracts import checks
from tests.contracts.test_docs import environment_of
from tests.walks.pages import HOME, Block

SEPARATORS = {"|", "||", "&&", ";", "&"}
SETTINGS = set(environment_of(HOME / "poms_site" / "settings.py"))
CLIENT = {name for path in (HOME / "client/poms_client").rglob("*.py")
          for name in re.findall(r'"((?:POMS|XDG)_[A-Z_]+)"', path.read_text())}  # fmt: skip
# Of other programs, which are not ours to try: what they do to a machine, or that it is not there. What a line names of
# this repository is looked for all the same.
ELSEWHERE = {
    "useradd": "makes an account of the machine", "usermod": "changes one", "install": "puts files below /etc",
    "systemctl": "there is no systemd in a container; its units are verified by tests/deploy",
    "pg_basebackup": "tests/servers/postgres.py makes a base backup by it", "pg_verifybackup": "of a real archive",
    "date": "says the day", "docker": "there is no docker here; the image and the compose file are looked at by tests/deploy",
    "spack": "there is no Spack here; the recipes are looked at by tests/deploy",
    "python3.11": "tests/deploy runs the same script with the Python of the tests",
    "ssh-keyscan": "asks a host that is not there", "jq": "reads a log of a running site", "grep": "the same",
    "sort": "the same", "head": "the same", "printf": "a secret on its way into a file", "cp": "a file to be filled in",
    "sed": "tests/walks/test_first_campaign.py runs it", "echo": "says something",
    "token": "the function of the shell that the same page defines", "cd": "goes into a folder",
    "set": "an option of the shell", ".": "reads a file of settings", "git": "fetches a clone",
    "psql": "tests/deploy/test_administrator.py makes the same role and database", "rm": "a file of another package",
}  # fmt: skip
root = get_command(main._app())


def typed(block: Block) -> str:
    """Return what is typed of a block: of a dialogue, the lines with a prompt and those after a backslash."""
    if not block.text.startswith("$ "):
        return block.text
    found, goes_on = [], False
    for line in block.text.splitlines():
        if line.startswith("$ ") or goes_on:
            found.append(line)
            goes_on = line.endswith("\\")
    return "".join(f"{line}\n" for line in found)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a block, with those in $(…), without comments, and where they read and write.

    Assignments before a command stay, as the words that they are.
    """
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        plain = re.sub(r"^\$ ", "", line.strip())
        while "$(" in plain:
            before, inner, after = _parted(plain)
            yield from commands(inner)
            plain = f"{before}VALUE{after}"
        words = shlex.shlex(plain, posix=True, punctuation_chars="|&;<>")
        words.whitespace_split, words.commenters = True, "#"
        command: list[str] = []
        redirected = False
        for word in words:
            if word in SEPARATORS:
                yield from [command] if command else []
                command = []
            elif set(word) <= set("<>"):
                redirected = True
            elif redirected:
                redirected = False
            else:
                command.append(word)
        yield from [command] if command else []


def _parted(line: str) -> tuple[str, str, str]:
    """Return what stands before the first $(…), within it, and after it."""
    before, _, rest = line.partition("$(")
    depth = 1
    for at, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return before, rest[:at], rest[at + 1 :]
    raise ValueError(f"this parenthesis is never closed: {line}")


def wrong_with(command: list[str]) -> list[str]:
    """Return a sentence for each thing in a command that the program would not take."""
    wrong, words = [], list(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        wrong += _wrong_name(words.pop(0).partition("=")[0])
    if not words:
        return wrong
    program, arguments = words[0], words[1:]
    judge = _JUDGES.get(program)
    if judge is not None:
        return wrong + judge(arguments)
    if program not in ELSEWHERE:
        return [*wrong, f"nobody knows how to walk {program}: {' '.join(command)[:80]}"]
    return wrong + _wrong_paths(program, arguments)


def wrong_with_poms(arguments: list[str]) -> list[str]:
    """Return what the real command would say to these arguments; nothing is called."""
    command, rest, context = root, list(arguments), None
    try:
        while True:
            context = command.make_context(command.name or "poms", rest, parent=context)
            if not hasattr(command, "resolve_command"):
                return []
            rest = [*context._protected_args, *context.args]
            if not rest:
                return [f"poms {' '.join(arguments)}: it names no verb"]
            _, command, rest = command.resolve_command(context, rest)
    except main.Complaint as error:
        return [f"poms {' '.join(arguments)[:100]}: {error.format_message()}"]
    except SystemExit:  # --help and --version have been said
        return []


def wrong_with_manage(arguments: list[str]) -> list[str]:
    """Return what manage.py would say to these arguments; nothing is called."""
    if not arguments or arguments[0] not in get_commands():
        return [f"manage.py has no {' '.join(arguments[:1])}"]
    app = get_commands()[arguments[0]]
    command = load_command_class(app, arguments[0]) if isinstance(app, str) else app
    try:
        command.create_parser("manage.py", arguments[0]).parse_args(arguments[1:])
    except (CommandError, SystemExit) as error:
        return [f"manage.py {' '.join(arguments)}: {error}"]
    return []


def _wrong_with_python(arguments: list[str]) -> list[str]:
    if arguments[:1] == ["manage.py"]:
        return wrong_with_manage(arguments[1:])
    if arguments[:1] == ["-c"]:
        try:
            compile(arguments[1], "<docs>", "exec")
        except SyntaxError as error:
            return [f"python -c {arguments[1][:60]}: {error}"]
        return []
    if arguments[:1] == ["-m"]:
        import_module(arguments[1])
        return []
    return [f"nobody knows how to walk python {' '.join(arguments)[:60]}"]


def _wrong_with_make(arguments: list[str]) -> list[str]:
    text = (HOME / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", text))
    wrong = [f"make has no {word}" for word in arguments if "=" not in word and word not in targets]
    return wrong + [
        f"make reads no {word}" for word in arguments if "=" in word and f"$({word.partition('=')[0]})" not in text
    ]


def _wrong_with_export(arguments: list[str]) -> list[str]:
    return [text for word in arguments for text in _wrong_name(word.partition("=")[0])]


def _wrong_with_curl(arguments: list[str]) -> list[str]:
    (url,) = [word for word in arguments if "$POMS_URL" in word]
    method = arguments[arguments.index("-X") + 1] if "-X" in arguments else "POST" if "-d" in arguments else "GET"
    return wrong_address(urlsplit(url.replace("$POMS_URL", "")).path, method)


def wrong_address(path: str, method: str = "GET") -> list[str]:
    """Return that nothing is at an address, or that it does not take the method."""
    try:
        match = resolve(path)
    except Resolver404:
        return [f"nothing is at {path}"]
    if match.url_name == "nowhere":
        return [f"nothing is at {path}"]
    taken = checks.served(match.func) if path.startswith("/api/") else {method: ""}
    return [] if method in taken else [f"{path} takes no {method}"]


def _wrong_name(name: str) -> list[str]:
    return [] if is_read(name) else [f"nobody reads {name}"]


def is_read(name: str) -> bool:
    """Tell whether a name of the environment is a setting, or that of the file in which it stands, or a credential."""
    known = SETTINGS | CLIENT | {"PATH", "DATABASE_URL"}
    return bool({name, name.removesuffix("_FILE")} & known or re.match(r"POMS_CREDENTIAL_[A-Z0-9_]+$", name))


def _wrong_paths(program: str, arguments: list[str]) -> list[str]:
    """Return what a line names of this repository, or of its units, that is not there."""
    wrong = []
    if program == "cp":
        arguments = arguments[:-1]  # made by this line
    for word in arguments:
        if re.match(r"(deploy|examples|docs)/", word) and word != "deploy/poms.env" and not list(HOME.glob(word)):
            wrong.append(f"there is no {word}")
        if program == "systemctl" and word.startswith("poms"):
            unit = re.sub(r"@\d+$", "@.service", word)
            unit = unit if "." in unit else f"{unit}.service"
            if not (HOME / "deploy/systemd" / unit).exists():
                wrong.append(f"there is no unit {unit}")
    return wrong


def _after(option_count: Callable[[list[str]], int], more: tuple[str, ...] = ()) -> Callable[[list[str]], list[str]]:
    """Return what judges the command that another one runs."""
    return lambda arguments: wrong_with([*arguments[option_count(arguments) :], *more])


def _options(arguments: list[str]) -> int:
    return next((n for n, word in enumerate(arguments) if not word.startswith("-")), len(arguments))


_JUDGES: dict[str, Callable[[list[str]], list[str]]] = {
    "poms": wrong_with_poms,
    "make": _wrong_with_make,
    "export": _wrong_with_export,
    "curl": _wrong_with_curl,
    "python": _wrong_with_python,
    ".venv/bin/python": _wrong_with_python,
    "runuser": _after(lambda arguments: arguments.index("--") + 1),
    "xargs": _after(_options, ("demo/j7",)),
}  # fmt: skip


def programs_of(text: str) -> set[str]:
    """Return the programs that a block calls."""
    found: set[Any] = set()
    for command in commands(text):
        words = [word for word in command if not re.match(r"[A-Z_]+=", word)]
        found |= set(words[:1])
    return found
