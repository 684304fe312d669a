"""
Filters that only compare, as closures over decoded JSON: paths of `event` and `tm`, literals, lists
of them, comparisons, `in`, `has`, `!`, `&&`, `||`, and startsWith, endsWith, contains.

This is a part of CEL with CEL's meaning (https://github.com/cel-expr/cel-spec); what is outside it,
and what is misspelt, is for the library in the child to judge. Pure.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_DEEPEST = 24  # parentheses; what is nested deeper is for the child
_INT64 = range(-(2**63), 2**63)
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+(?![\w.]))"
    r"|(?P<text>\"[^\"\\\n\r]*\"|'[^'\\\n\r]*')"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|[<>!().,\[\]-])|(?P<end>$))",
    re.ASCII,
)
_WORDS = {"true": True, "false": False, "null": None}
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


class Missing(Exception):  # noqa: N818 - what the field is
    """The event has no such field or element."""


class Mistyped(Exception):  # noqa: N818 - what the value is
    """A value is of a type that the expression cannot work on."""


class Seen(NamedTuple):
    """What an expression may name."""

    event: Any
    tm: Any


Term = Callable[[Seen], Any]
"""Raises Missing or Mistyped."""


class Filter(NamedTuple):
    """A compiled filter, and whether it reads `tm`."""

    term: Term
    reads_tm: bool


def compile_filter(text: str) -> Filter | None:
    """
    The filter as a closure, or None where it is more than comparing.

    >>> compile_filter('event.total > 9 && event.kind in ["a", "b"]').term(
    ...     Seen({"total": 12, "kind": "b"}, None)
    ... )
    True
    >>> compile_filter("event.items.all(i, i > 0)")
    """
    try:
        parser = _Parser(text)
        term = parser.whole()
    except _Outside:
        return None
    return Filter(term, parser.reads_tm)


class _Outside(Exception):  # noqa: N818 - where the text is
    """The text is not in the part of CEL that is compiled here."""


class _Parser:
    """By recursive descent; each method takes the tokens of what it returns."""

    def __init__(self, text: str) -> None:
        self.reads_tm = False
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Term:
        term = self._any()
        if self._kind() != "end":
            raise _Outside
        return term

    def _any(self) -> Term:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Outside
        term = self._all()
        while self._take("||"):
            term = _either(term, self._all(), ends=True)
        self._depth -= 1
        return term

    def _all(self) -> Term:
        term = self._relation()
        while self._take("&&"):
            term = _either(term, self._relation(), ends=False)
        return term

    def _relation(self) -> Term:
        left = self._not()
        for mark, relate in _RELATIONS.items():
            if self._take(mark):
                return _related(relate, left, self._not())
        return left

    def _not(self) -> Term:
        if self._take("!"):
            return _negated(self._single())
        return self._single()

    def _single(self) -> Term:
        if self._take("("):
            term = self._any()
            self._need(")")
            return term
        if self._take("["):
            return self._list()
        kind, text = self._tokens[self._at]
        if kind == "name" and text not in _WORDS:
            return self._named(text)
        return _constant(self._literal())

    def _list(self) -> Term:
        items = []
        while not self._take("]"):
            items.append(self._literal())
            if not self._take(","):
                self._need("]")
                break
        return _constant(items)

    def _literal(self) -> Any:
        negative = self._take("-")
        kind, text = self._next()
        if kind == "number":
            number = float(text) if "." in text else int(text)
            value = -number if negative else number
            if isinstance(value, int) and value not in _INT64:
                raise _Outside
            return value
        if negative or kind in {"mark", "end"}:
            raise _Outside
        if kind == "text":
            return text[1:-1]
        if text not in _WORDS:
            raise _Outside
        return _WORDS[text]

    def _named(self, name: str) -> Term:
        if name == "has":
            return self._has()
        path = self._path()
        if self._tokens[self._at][1] == "(" and isinstance(path.steps[-1], str):
            return self._call(path)
        return path.term()

    def _has(self) -> Term:
        self._next()
        self._need("(")
        path = self._path()
        self._need(")")
        if not path.by_name:
            raise _Outside
        return _present(path.without_last(), str(path.steps[-1]))

    def _call(self, path: "_Path") -> Term:
        name = str(path.steps[-1])
        if not path.by_name or name not in _CALLS:
            raise _Outside
        self._need("(")
        argument = self._single()
        self._need(")")
        return _called(_CALLS[name], path.without_last(), argument)

    def _path(self) -> "_Path":
        root = self._next()[1]
        if root not in Seen._fields:
            raise _Outside
        self.reads_tm = self.reads_tm or root == "tm"
        steps: list[str | int] = []
        by_name = False
        while True:
            if self._take("."):
                kind, name = self._next()
                if kind != "name" or name in _RESERVED:
                    raise _Outside
                steps.append(name)
                by_name = True
            elif self._take("["):
                steps.append(self._index())
                by_name = False
            else:
                return _Path(root, tuple(steps), by_name)

    def _index(self) -> str | int:
        index = self._literal()
        self._need("]")
        if isinstance(index, bool) or not isinstance(index, str | int):
            raise _Outside
        return index

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _take(self, mark: str) -> bool:
        kind, text = self._tokens[self._at]
        if text != mark or kind not in {"mark", "name"}:
            return False
        self._at += 1
        return True

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise _Outside


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each; the last is of the kind `end`."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while not tokens or tokens[-1][0] != "end":
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _Outside
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


class _Path(NamedTuple):
    root: str
    steps: tuple[str | int, ...]
    by_name: bool
    """Whether the last step is `.name`, as `has` and calls need it."""

    def without_last(self) -> Term:
        return _Path(self.root, self.steps[:-1], by_name=False).term()

    def term(self) -> Term:
        number = Seen._fields.index(self.root)
        steps = self.steps

        def follow(seen: Seen) -> Any:
            value = seen[number]
            for step in steps:
                value = _member(value, step)
            return value

        return follow


def _member(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        if step in value:
            return value[step]
        raise Missing(f"the event has no {step!r}")
    if isinstance(value, list) and isinstance(step, int):
        if 0 <= step < len(value):
            return value[step]
        raise Missing(f"the list has no element {step}")
    raise Mistyped(f"{_kind(value)} has no member {step!r}")


def _constant(value: Any) -> Term:
    return lambda _: value


def _present(inside: Term, name: str) -> Term:
    def present(seen: Seen) -> bool:
        value = inside(seen)
        if isinstance(value, dict):
            return name in value
        raise Mistyped(f"has() needs an object around {name!r} and found {_kind(value)}")

    return present


def _negated(term: Term) -> Term:
    return lambda seen: not _truth(term(seen))


def _either(first: Term, second: Term, *, ends: bool) -> Term:
    """`||` and `&&`: the value that ends it wins over an error on the other side."""

    def decide(seen: Seen) -> bool:
        try:
            if _truth(first(seen)) is ends:
                return ends
        except (Missing, Mistyped):
            if _truth(second(seen)) is ends:
                return ends
            raise
        return _truth(second(seen))

    return decide


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Mistyped(f"{_kind(value)} is neither true nor false")


def _related(relate: Callable[[Any, Any], bool], left: Term, right: Term) -> Term:
    return lambda seen: relate(left(seen), right(seen))


def _equal(left: Any, right: Any) -> bool:
    """Values of different types are unequal; numbers are one type, and true is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _unequal(left: Any, right: Any) -> bool:
    return not _equal(left, right)


def _inside(item: Any, holder: Any) -> bool:
    if isinstance(holder, list):
        return any(_equal(item, other) for other in holder)
    if isinstance(holder, dict):
        return isinstance(item, str) and item in holder
    raise Mistyped(f"'in' needs a list or an object and found {_kind(holder)}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        kinds = _order_of(left), _order_of(right)
        if kinds[0] is None or kinds[0] != kinds[1]:
            raise Mistyped(f"{_kind(left)} and {_kind(right)} have no order")
        return compare(left, right)

    return ordered


def _order_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def _called(call: Callable[[str, str], bool], subject: Term, argument: Term) -> Term:
    def called(seen: Seen) -> bool:
        text, part = subject(seen), argument(seen)
        if isinstance(text, str) and isinstance(part, str):
            return call(text, part)
        raise Mistyped(f"a text function needs two strings: {_kind(text)} and {_kind(part)}")

    return called


_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": _unequal,
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
    "in": _inside,
}
_CALLS: Mapping[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
