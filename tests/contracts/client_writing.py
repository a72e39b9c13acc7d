"""Writes client/poms_client/operations.py: a typed method of the client for each operation of the API's description."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

HOME = Path(settings.BASE_DIR) / "client" / "poms_client" / "operations.py"
HEAD = '''"""A typed method for each operation of the API, by the name that it has in the description (OpenAPI).

Written from the description by tests/contracts/client_writing.py: do not edit. What is None is not sent.
"""

# fmt: off
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

Record = dict[str, Any]


class Operations:
    """What the API can do. A client says how it is sent."""

    def _list(self, path: Sequence[str], query: Record) -> Iterator[Record]:
        raise NotImplementedError

    def _ask(self, path: Sequence[str], query: Record) -> Record:
        raise NotImplementedError

    def _text(self, path: Sequence[str], query: Record) -> str:
        raise NotImplementedError

    def _bytes(self, path: Sequence[str], query: Record) -> bytes:
        raise NotImplementedError

    def _upload(self, path: Sequence[str], query: Record, content: bytes) -> Record:
        raise NotImplementedError

    def _say(self, method: str, path: Sequence[str], query: Record, body: Record, key: Optional[str] = None) -> Record:
        raise NotImplementedError

    def _create(self, path: Sequence[str], query: Record, body: Record, key: Optional[str]) -> Record:
        raise NotImplementedError

    def _set(self, path: Sequence[str], body: Record) -> Record:
        raise NotImplementedError
'''
KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "Mapping[str, Any]"}
PLACES = ("ref", "pk", "key")  # what stands first
NUMBERS = ("limit", "offset", "length", "seals")


def written(description: dict[str, Any]) -> str:
    """Return the module."""
    methods = [
        _method(path, method, operation, description)
        for path, entries in description["paths"].items()
        for method, operation in entries.items()
    ]
    return HEAD + "".join(f"\n{textwrap.indent(one, '    ')}" for one in sorted(methods))


def word(name: str, places: Iterable[str] = ()) -> str:
    """Return a name as Python takes it: `from` is `from_`, and a field with the name of a place is the new one."""
    if name in places:
        return f"new_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _method(path: str, method: str, operation: dict[str, Any], description: dict[str, Any]) -> str:
    """Return the text of one method."""
    parameters = operation.get("parameters", [])
    places = [entry["name"] for entry in parameters if entry["in"] == "path"]
    query = {entry["name"]: entry for entry in parameters if entry["in"] == "query"}
    once = any(entry["name"] == "Idempotency-Key" for entry in parameters)
    fields, needed = _fields(operation, description)
    answer = next(iter(next(iter(operation["responses"].values()))["content"]))
    listed = method == "get" and "cursor" in query
    if listed:
        query.pop("cursor")
    if "as" in query:
        query.pop("as")  # another form is another type: it is asked for by `text`
    taken = [f"{word(name)}: str" for name in sorted(places, key=lambda name: name not in PLACES)]
    named = [f"{word(name, places)}: {_kind(schema, description)}" for name, schema in fields.items() if name in needed]
    named += [
        f"{word(name, places)}: Optional[{_kind(schema, description)}] = None"
        for name, schema in fields.items()
        if name not in needed
    ]
    named += [
        f"{word(name)}: Optional[{'int' if name in NUMBERS else 'str'}] = None" for name in query if name not in fields
    ]
    named += ["key: Optional[str] = None"] if once and method == "post" and "key" not in fields else []
    upload = operation["operationId"] == "uploads_create"
    taken += ["content: bytes"] if upload else []
    returns = _returns(answer, listed)
    asked, sent = _given(query), _given(fields, places)
    place = _place(path)
    if method == "get":
        how = {"Iterator[Record]": "_list", "str": "_text", "bytes": "_bytes"}.get(returns, "_ask")
        call = f"self.{how}({place}, {asked})"
    elif upload:
        call = f"self._upload({place}, {asked}, content)"
    elif method == "put":
        call = f"self._set({place}, {sent})"
    elif once:
        call = f"self._create({place}, {asked}, {sent}, key)"
    else:
        call = f'self._say("{method.upper()}", {place}, {asked}, {sent})'
    signature = ", ".join(["self", *taken, *(["*", *named] if named else [])])
    head = _wrapped(f"def {operation['operationId']}({signature}) -> {returns}:")
    about = " ".join(operation.get("description", operation["operationId"]).split()).replace('"', "'")
    about = "\n    ".join(textwrap.wrap(about, 110))
    return f'{head}\n    """{about}"""\n{_wrapped(f"    return {call}")}\n'


def _wrapped(line: str) -> str:
    """Return a line as lines of at most 116 signs, broken behind commas."""
    if len(line) <= 116:
        return line
    parts, lines = line.split(", "), [""]
    for number, part in enumerate(parts):
        end = ", " if number < len(parts) - 1 else ""
        if lines[-1].strip() and len(lines[-1] + part + end) > 116:
            lines.append("        ")
        lines[-1] += part + end
    return "\n".join(text.rstrip() for text in lines)


def _fields(operation: dict[str, Any], description: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the fields of a body, and those of them that must be there."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    forms = [_resolved(one, description) for one in schema.get("anyOf", [schema])]
    fields = {name: inner for form in forms for name, inner in form.get("properties", {}).items()}
    needed = set.intersection(*(set(form.get("required", ())) for form in forms)) if forms else set()
    return fields, needed & set(fields)


def _resolved(schema: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return description["components"]["schemas"][name] if name else schema


def _kind(schema: dict[str, Any], description: dict[str, Any]) -> str:
    """Return the type of a field in Python."""
    schema = _resolved(schema["allOf"][0] if "allOf" in schema else schema, description)
    kind = schema.get("type", "")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "")
    if kind == "array":
        return f"Sequence[{_kind(schema.get('items', {}), description)}]"
    return "str" if "enum" in schema and kind == "string" else KINDS.get(kind, "Any")


def _returns(kind: str, listed: bool) -> str:
    if listed:
        return "Iterator[Record]"
    if kind == "text/plain":
        return "str"
    return "bytes" if not kind.endswith("json") else "Record"


def _given(names: Any, places: Iterable[str] = ()) -> str:
    return "{" + ", ".join(f'"{name}": {word(name, places)}' for name in names) + "}"


def _place(path: str) -> str:
    """Return the parts of a path as they are written: a reference is two of them."""
    parts = []
    for part in path.removeprefix("/api/v1/").strip("/").split("/"):
        if part == "{ref}":
            parts.append('*ref.split("/")')
        elif "{" in part:
            before, _, name = part.partition("{")
            name = word(name.rstrip("}"))
            parts.append(f'f"{before}{{{name}}}"' if before else name)
        else:
            parts.append(f'"{part}"')
    return f"[{', '.join(parts)}]"
