"""Reading a dimension query: one function for each rule of the grammar, in the order of precedence.

query   := sets [with option {option} {with option {option}}]
sets    := or {(minus | union | intersect) or}         or := and {or and}       and := not {and not}
not     := not not | atom
atom    := ( query ) | defname: value | availability: values | relation: ( query ) | name [operator] values
"""

from __future__ import annotations

import re
from collections.abc import Callable

from integrations.catalogue.dimensions.lexing import END, Token, error, tokens
from integrations.catalogue.dimensions.tree import (
    And,
    Available,
    Combined,
    Constraint,
    Defined,
    DimensionError,
    Node,
    Not,
    Or,
    Range,
    Related,
    Selected,
    Value,
)

LONGEST = 100_000  # characters
DEEPEST = 40  # parentheses and `not`s in each other
NEAR = ("isparentof", "ischildof")
FAR = ("isancestorof", "isdescendantof")
RELATIONS = (*NEAR, *FAR)
SETS = ("minus", "union", "intersect")
OPTIONS = ("limit", "offset", "stride", "availability")
AVAILABILITIES = ("default", "anylocation", "physical", "virtual", "any", "good", "bad")
# Words that mean something wherever they stand; a value of this name is quoted.
RESERVED = frozenset({"and", "or", "not", "in", "like", "with", *SETS})
ONE_VALUE = ("<", "<=", ">", ">=", "like", "not like")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*")
_RANGE = re.compile(rf"({END})-({END})")
_OPEN_RANGE = re.compile(rf"({END})-")
_END = re.compile(END)


def parse(text: str, *, longest: int = LONGEST) -> Node:
    """Return the tree of a query; raises DimensionError."""
    if len(text) > longest:
        raise DimensionError(f"The query has {len(text)} characters; at most {longest} are read.")
    if not text.strip():
        raise DimensionError("Parse error at line 1, column 1: the query is empty")
    return _Parser(text).read()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.here = next(self.tokens)
        self.deep = 0
        self.far: Token | None = None
        self.near: Token | None = None

    def read(self) -> Node:
        found = self.query()
        if self.here.kind != "end":
            raise self.wrong(f"{self.here.text!r} cannot stand here")
        return found

    def wrong(self, why: str, at: Token | None = None) -> DimensionError:
        return error(self.text, (at or self.here).at, why)

    def take(self) -> Token:
        token, self.here = self.here, self.here
        if token.kind != "end":
            self.here = next(self.tokens)
        return token

    def expect(self, sign: str, where: str) -> Token:
        if not self.here.says(sign):
            raise self.wrong(f"expected {sign!r} {where}" + ("" if self.here.text else ", but the query ends"))
        return self.take()

    def deeper(self, rule: Callable[[], Node]) -> Node:
        self.deep += 1
        if self.deep > DEEPEST:
            raise self.wrong(f"more than {DEEPEST} levels in each other")
        found = rule()
        self.deep -= 1
        return found

    def query(self) -> Node:
        found = self.sets()
        return self.options(found) if self.here.says("with") else found

    def options(self, of: Node) -> Node:
        given: dict[str, int] = {}
        kinds: list[str] = []
        while self.here.says("with"):
            self.take()
            if not self.here.says(*OPTIONS):
                raise self.wrong(f"after 'with' stands one of {', '.join(OPTIONS)}")
            while self.here.says(*OPTIONS):
                option = self.take()
                name = option.text.lower()
                if name == "availability":
                    kinds += self.kinds()
                elif name in given:
                    raise self.wrong(f"{name} is given twice", option)
                else:
                    given[name] = self.number(name)
        return Selected(
            of, given.get("limit"), given.get("offset", 0), given.get("stride", 1), tuple(dict.fromkeys(kinds))
        )

    def number(self, name: str) -> int:
        token = self.take()
        if token.kind != "word" or not re.fullmatch(r"\d{1,15}", token.text):
            raise self.wrong(f"{name} needs a number", token)
        if name == "stride" and not int(token.text):
            raise self.wrong("a stride is at least 1", token)
        return int(token.text)

    def kinds(self) -> list[str]:
        found = []
        while True:
            token = self.take()
            kind = _unquoted(token).lower()
            if token.kind not in ("word", "quoted") or kind not in AVAILABILITIES:
                raise self.wrong(f"an availability is one of {', '.join(AVAILABILITIES)}", token)
            found.append(kind)
            if not self.here.says(","):
                return found
            self.take()

    def sets(self) -> Node:
        first = self.either()
        others = []
        while self.here.says(*SETS):
            op = self.take().text.lower()
            others.append((op, self.either()))
        return Combined(first, tuple(others)) if others else first

    def either(self) -> Node:
        parts = [self.both()]
        while self.here.says("or"):
            self.take()
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self) -> Node:
        begin = self.here
        parts = [self.negated()]
        while self.here.says("and"):
            self.take()
            parts.append(self.negated())
        if all(isinstance(part, Available) for part in parts):
            raise self.wrong("'availability:' stands beside something else, joined with 'and'", begin)
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negated(self) -> Node:
        if not self.here.says("not"):
            return self.atom()
        begin = self.take()
        found = self.deeper(self.negated)
        if isinstance(found, Available):
            raise self.wrong("'availability:' cannot be negated", begin)
        return Not(found)

    def atom(self) -> Node:
        token = self.take()
        if token.says("("):
            found = self.deeper(self.query)
            self.expect(")", "to close what is open")
            return found
        if token.kind != "word" or not _NAME.fullmatch(token.text) or token.text.lower() in RESERVED:
            what = f"not {token.text!r}" if token.text else "but the query ends"
            raise self.wrong(f"expected a name such as file_name, or a parenthesis, {what}", token)
        if self.here.says(":"):
            return self.special(token)
        return self.constraint(token)

    def special(self, token: Token) -> Node:
        self.take()
        name = token.text.lower()
        if name == "defname":
            return Defined(self.single("defname:"))
        if name == "availability":
            inside = self.here.says("(") and bool(self.take())
            kinds = self.kinds()
            if inside:
                self.expect(")", "to close what is open")
            return Available(tuple(dict.fromkeys(kinds)))
        if name not in RELATIONS:
            raise self.wrong(f"there is no '{token.text}:'", token)
        self.allow(name, token)
        self.expect("(", f"after '{name}:'")
        found = self.deeper(self.query)
        self.expect(")", "to close what is open")
        return Related(name, found)

    def allow(self, name: str, token: Token) -> None:
        """Forbid what SAM forbids: it looks for ancestors in one go, and for nothing else beside them."""
        if name in FAR:
            if self.far:
                raise self.wrong("Query forbidden - more than one ancestor or descendant operator in a query", token)
            self.far = token
        else:
            self.near = token
        if self.far and self.near:
            why = "Query forbidden - mixing ancestor or descendant with child or parent is not allowed"
            raise self.wrong(why, token)

    def constraint(self, name: Token) -> Node:
        op = self.operator()
        inside = self.here.says("(") and bool(self.take())
        values = [self.value(name.text)]
        while self.here.says(","):
            if op in ONE_VALUE:
                raise self.wrong(f"{op!r} takes one value")
            self.take()
            values.append(self.value(name.text))
        if op in ONE_VALUE and isinstance(values[0], Range):
            raise self.wrong(f"{op!r} takes no range", name)
        if inside:
            self.expect(")", "after the values")
        return Constraint(name.text, op, tuple(values))

    def operator(self) -> str:
        if self.here.says("=", "!=", "<", "<=", ">", ">=", "like", "in"):
            return self.take().text.lower()
        if not self.here.says("not"):
            return "="
        self.take()
        if not self.here.says("like", "in"):
            raise self.wrong("after 'not' stands 'like' or 'in' here")
        return f"not {self.take().text.lower()}"

    def single(self, of: str) -> str:
        token = self.take()
        if token.kind == "quoted":
            return _unquoted(token)
        if token.kind != "word" or token.text.lower() in RESERVED:
            what = f"not {token.text!r}" if token.text else "but the query ends"
            raise self.wrong(f"expected a value for {of}, {what}", token)
        return token.text

    def value(self, of: str) -> Value:
        """Read a value or a range. A word may hold a whole range, its begin with the dash, or a date with dashes."""
        token = self.here
        text = self.single(of)
        if token.kind == "quoted":
            may_go_on = True
        else:
            may_go_on = bool(_END.fullmatch(text))
            if not may_go_on and (whole := _RANGE.fullmatch(text)):
                return Range(*whole.groups())
            if not may_go_on and (begin := _OPEN_RANGE.fullmatch(text)):
                return Range(begin[1], self.end_of_range(of))
        if not (may_go_on and self.here.kind == "word" and self.here.text.startswith("-")):
            return text
        dash = self.take()
        if dash.text == "-":
            return Range(text, self.end_of_range(of))
        if not _END.fullmatch(dash.text[1:]):
            raise self.wrong("a range ends with a number, a date or something quoted", dash)
        return Range(text, dash.text[1:])

    def end_of_range(self, of: str) -> str:
        token = self.here
        text = self.single(of)
        if token.kind == "word" and not _END.fullmatch(text):
            raise self.wrong("a range ends with a number, a date or something quoted", token)
        return text


def _unquoted(token: Token) -> str:
    return token.text[1:-1] if token.kind == "quoted" else token.text
