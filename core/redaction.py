"""Secrets in text: found by their shape or by the name before them, and covered. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import Problem, Refused

COVER = "[secret]"
# A private key of 4096 bits, and the certificates that may stand between, fit into this.
AROUND = 8192

_PEM = r"[A-Za-z0-9+/=\s\\:,.-]"


@dataclass(frozen=True)
class _Kind:
    """One kind of secret: what it is called, signs of which each begins with one, and what it looks like from there.

    Where the expression has a group `secret`, only that is covered.
    """

    what: str
    signs: tuple[str, ...]
    shape: re.Pattern[str]


def _kind(what: str, signs: str, shape: str) -> _Kind:
    return _Kind(what, tuple(signs.split()), re.compile(shape))


_KINDS = (
    # A token of three or five parts, the first of them a JSON object: {" is eyJ.
    _kind("a bearer token", "eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}"),
    # To its end, or as far as the text goes: a piece of a log may begin or end inside of one.
    _kind("a private key", "-----begin", rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY-----{_PEM}*?(?:-----END [A-Z0-9 ]"
                                         rf"{{0,40}}PRIVATE KEY-----|(?!{_PEM})|\Z)"),
    _kind("a vault token", "hvs. hvb. hvr.", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    _kind("a vault token", "s.", r"\bs\.(?=[A-Za-z0-9]{0,23}[0-9])(?=[A-Za-z0-9]{0,23}[A-Z])[A-Za-z0-9]{24}(?!\w)"),
    _kind("a token of POMS", "poms_", r"\bpoms_[A-Za-z0-9_-]{30,}"),
    _kind("a token of a service", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat-",
          r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[A-Za-z0-9_-]{16,})"),
    _kind("a password in an address", "://", r"://[^\s/@:'\"]{0,80}:(?P<secret>[^\s/@'\"]{1,400})(?=@)"),
    _kind("a token in a header", "authorization",
          r"(?i:authorization\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{3,20}\s{1,3})?)(?P<secret>[A-Za-z0-9._~+/=-]{12,})"),
    _kind("a token in a header", "bearer",
          r"(?i:bearer\s{1,3})(?P<secret>(?=[A-Za-z0-9._~+/-]*[0-9])[A-Za-z0-9._~+/=-]{16,})"),
    # What begins with one of these is where a secret is, or what becomes one, not the secret: $(cat …), /tmp/…, %(…)s.
    _kind("a secret by its name",
          "passw passphrase secret api_key api-key apikey access_key access-key accesskey token",
          r"(?i:passw(?:or)?d|passphrase|secret(?:_?key)?|(?:api|access)[_-]?key|token)[\"']?\s{0,3}(?:=|:(?!//))\s{0,3}"
          r"[\"']?(?P<secret>(?![$/~%{<(`*\[])[^\s\"'\\,;&<>]{8,400})"),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A secret in a text: what it is, and where it begins and ends."""

    what: str
    begin: int
    end: int


def secrets_in(text: str) -> Iterator[Found]:
    """Yield what looks like a secret, in the order of the text.

    Signs are looked for as plain text, which is quick: most texts have none, and each page of a log is searched.
    """
    if not text:
        return
    plain = _lower(text)
    found = []
    for kind in _KINDS:
        for sign in kind.signs:
            at = plain.find(sign)
            while at >= 0:
                if match := kind.shape.match(text, at):
                    found.append(Found(kind.what, *match.span("secret" if kind.shape.groups else 0)))
                    at = plain.find(sign, max(at + 1, match.end()))
                else:
                    at = plain.find(sign, at + 1)
    end = 0
    for one in sorted(found, key=lambda one: (one.begin, -one.end)):
        if one.end > end:
            yield Found(one.what, max(end, one.begin), one.end)
            end = one.end


def _lower(text: str) -> str:
    """Return a text in small letters, each sign where it was."""
    plain = text.lower()
    return plain if len(plain) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def refuse_secrets(given: Iterable[tuple[str, Any]]) -> None:
    """Raise Refused where a text that somebody sent has a secret in it; none of them is said again."""
    problems = []
    for name, value in given:
        if found := next((found for text in _texts(value) for found in secrets_in(text)), None):
            hint = "POMS keeps no secrets: leave it where it is, and name the file or the credential instead"
            problems.append(Problem(redacted(name)[:80], f"has what looks like {found.what}", hint))
    if problems:
        raise Refused("There is a secret in it; nothing was kept.", problems)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value; what stands under a name is read with it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f"{name}={inner}" if isinstance(inner, str) else str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def redacted(text: str) -> str:
    """Return a text with every secret in it covered."""
    return _covered(text, lambda secret: COVER)


def last_words(said: bytes | str, most: int = 500) -> str:
    """Return the end of what a program said, covered before it is cut: half a secret is not known by its shape."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return redacted(text).strip()[-most:]


def masked(text: str) -> str:
    """Return a text with every secret in it covered sign for sign, so that what follows stays where it is."""
    return _covered(text, lambda secret: re.sub(r"[^\r\n]", "*", secret))


def _covered(text: str, cover: Callable[[str], str]) -> str:
    pieces, done = [], 0
    for found in secrets_in(text):
        pieces += [text[done : found.begin], cover(text[found.begin : found.end])]
        done = found.end
    return "".join([*pieces, text[done:]]) if done else text


def redacted_deep(value: Any) -> Any:
    """Return a value of a log's line with the secrets in every text of it covered; other objects become their text."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bytes | bytearray):
        return redacted(bytes(value).decode(errors="replace"))
    if isinstance(value, dict):
        return {redacted(str(name)): _of_name(name, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted_deep(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))


def _of_name(name: Any, inner: Any) -> Any:
    """Return what stands under a name, which may itself say that it is a secret."""
    if isinstance(inner, str) and inner and any(True for _ in secrets_in(f"{name}={inner}")):
        return COVER if not any(True for _ in secrets_in(inner)) else redacted(inner)
    return redacted_deep(inner)


def masked_piece(fetch: Callable[[int, int], dict[str, Any]], offset: int, length: int) -> dict[str, Any]:
    """Return a piece of a log as `fetch(offset, length)` does, masked, also what began before it or ends after it.

    The mask is of the secret's own length, so that whoever reads on by bytes reads on at the right place.
    """
    piece = fetch(offset, length)
    text, total = str(piece["text"]), int(piece["total"])
    if not text:
        return piece
    start = max(0, offset - AROUND)
    before = str(fetch(start, offset - start)["text"]) if offset else ""
    end = offset + len(text.encode())
    after = str(fetch(end, min(AROUND, total - end))["text"]) if end < total else ""
    return {**piece, "text": masked(before + text + after)[len(before) : len(before) + len(text)]}
