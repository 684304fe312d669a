"""
The filters that most people write, as closures over decoded JSON: comparisons, `in`, `has`, `!`,
`&&`, `||`, `startsWith`, `endsWith` and `contains` over paths, literals and lists of both.

They say what the CEL library says of the same filter (a property test holds them to it), but for
one thing: integers and doubles are compared exactly, as the language defines, where the library
rounds integers beyond 2^53.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from trackmate_consume.expressions.tree import Call, Constant, Foreign, Items, Name, Node, Select

Closure = Callable[[Any, Any], Any]
"""From `event` and `tm` to a value. Raises Missing or Mismatch."""


class Missing(Exception):  # noqa: N818 - what the field is
    """The filter names a field that is not there."""


class Mismatch(Exception):  # noqa: N818 - what the values are
    """An operator does not take values of these types."""


def closure(node: Node) -> Closure:
    """The filter as a closure. Raises Foreign where the library must run it."""
    if _searches(node) > _MOST_SEARCHES:
        raise Foreign
    return _closure(node)


_MOST_SEARCHES = 8  # each may go over all that an event holds, in the process of all pipelines


def _searches(node: Node) -> int:
    """How often the filter looks through what may be a long list, or compares two of them."""
    match node:
        case Select(operand=operand):
            return _searches(operand)
        case Items(items):
            return sum(map(_searches, items))
        case Call(function, arguments):
            return _is_search(function, arguments) + sum(map(_searches, arguments))
    return 0


def _is_search(function: str, arguments: Sequence[Node]) -> bool:
    match function, arguments:
        case "@in", (_, Items(items)):
            return not all(isinstance(item, Constant) for item in items)
        case "@in", _:
            return True
        case (("_==_" | "_!=_"), _):
            return not any(isinstance(argument, Constant) for argument in arguments)
    return False


def _closure(node: Node) -> Closure:
    match node:
        case Constant(value):
            return lambda event, tm: value
        case Name() | Select(tested=False) | Call("_[_]"):
            return _path(node)
        case Select(operand, field):
            return _has(_closure(operand), field)
        case Items(items):
            return _items([_closure(item) for item in items])
        case Call(function, arguments):
            return _call(function, arguments)
    raise Foreign


def _call(function: str, arguments: Sequence[Node]) -> Closure:
    if function not in _CALLS:
        raise Foreign
    many, make = _CALLS[function]
    if len(arguments) != many:
        raise Foreign
    match function, arguments:
        case "_==_", (left, Constant(str() as text)):
            return _is_text(_closure(left), text)
    return make(*[_closure(argument) for argument in arguments])


# paths

Step = tuple[str | int, bool]
"""A name or an index, and whether it stands in brackets: only those may be of a list."""


def _path(node: Node) -> Closure:
    steps: list[Step] = []
    while not isinstance(node, Name):
        node, step = _last_step(node)
        steps.insert(0, step)
    if node.name not in {"event", "tm"}:
        raise Foreign
    names = [name for name, _ in steps if isinstance(name, str)]
    if node.name == "event" and len(names) == len(steps):
        return _fields(names, steps)
    at_event = node.name == "event"
    return lambda event, tm: _walk(event if at_event else tm, steps)


def _last_step(node: Node) -> tuple[Node, Step]:
    match node:
        case Select(operand, field, tested=False):
            return operand, (field, False)
        case Call("_[_]", (operand, Constant(str() | int() as key))) if not isinstance(key, bool):
            return operand, (key, True)
    raise Foreign


def _fields(names: Sequence[str], steps: Sequence[Step]) -> Closure:
    """Objects all the way is the common case; the slow walk says what else it is."""
    *above, last = names or [""]

    def look(event: Any, tm: Any) -> Any:
        value = event
        try:
            for name in above:
                value = value[name]
            return value[last]
        except (KeyError, TypeError):
            return _walk(event, steps)

    return look if names else lambda event, tm: event


def _walk(value: Any, steps: Sequence[Step]) -> Any:
    for name, bracketed in steps:
        value = _step(value, name, bracketed=bracketed)
    return value


def _step(value: Any, name: str | int, *, bracketed: bool) -> Any:
    if isinstance(value, dict):
        if name not in value:
            raise Missing(f"there is no field {name!r}")
        return value[name]
    if not isinstance(value, list) or not bracketed:
        raise Mismatch(f"{name!r} is looked for in {kind_of(value)}, which has no fields")
    if isinstance(name, str):
        raise Mismatch(f"a list has no field {name!r}, only numbers")
    if not 0 <= name < len(value):
        raise Missing(f"there is no element {name}; the list has {len(value)}")
    return value[name]


def _has(operand: Closure, field: str) -> Closure:
    def has(event: Any, tm: Any) -> bool:
        value = operand(event, tm)
        if not isinstance(value, dict):
            raise Mismatch(f"{field!r} is looked for in {kind_of(value)}, which has no fields")
        return field in value

    return has


# operators


def _items(items: Sequence[Closure]) -> Closure:
    return lambda event, tm: [item(event, tm) for item in items]


def _or(left: Closure, right: Closure) -> Closure:
    return _either(left, right, wins=True, sign="||")


def _and(left: Closure, right: Closure) -> Closure:
    return _either(left, right, wins=False, sign="&&")


def _either(left: Closure, right: Closure, *, wins: bool, sign: str) -> Closure:
    """One side that decides is enough, whatever is wrong with the other."""
    loses = not wins

    def decide(event: Any, tm: Any) -> Any:
        try:
            one = left(event, tm)
        except (Missing, Mismatch) as fault:
            one = fault
        if one is wins:
            return wins
        try:
            other = right(event, tm)
        except (Missing, Mismatch) as fault:
            other = fault
        if other is wins:
            return wins
        if one is loses and other is loses:
            return loses
        raise _undecided((one, other), sign)

    return decide


def _undecided(sides: Sequence[Any], sign: str) -> Missing | Mismatch:
    """Why neither side decides: what went wrong with one, or that it is no boolean."""
    for side in sides:
        if isinstance(side, Missing | Mismatch):
            return side
    odd = next(side for side in sides if not isinstance(side, bool))
    return Mismatch(f"{sign} needs true or false, and here is {kind_of(odd)}")


def _not(operand: Closure) -> Closure:
    def negated(event: Any, tm: Any) -> bool:
        value = operand(event, tm)
        if not isinstance(value, bool):
            raise Mismatch(f"! needs true or false, and here is {kind_of(value)}")
        return not value

    return negated


def _equal(left: Closure, right: Closure) -> Closure:
    return lambda event, tm: _same(left(event, tm), right(event, tm))


def _is_text(left: Closure, text: str) -> Closure:
    """What most filters ask first; no value of JSON but text equals text."""
    return lambda event, tm: left(event, tm) == text


def _unequal(left: Closure, right: Closure) -> Closure:
    return lambda event, tm: not _same(left(event, tm), right(event, tm))


_NUMBERS = {int, float}
_ORDERED = {str, bool, int, float}
_NESTED = {dict, list}


def _same(one: Any, other: Any) -> bool:
    """Values of different types are unequal; numbers are of one type, and booleans no numbers."""
    kind, other_kind = type(one), type(other)
    if kind is not other_kind:
        return kind in _NUMBERS and other_kind in _NUMBERS and bool(one == other)
    if kind not in _NESTED:
        return bool(one == other)
    if len(one) != len(other):
        return False
    if kind is list:
        return all(map(_same, one, other))
    return all(name in other and _same(item, other[name]) for name, item in one.items())


def _ordered(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[..., Closure]:
    def make(left: Closure, right: Closure) -> Closure:
        def ordered(event: Any, tm: Any) -> bool:
            one, other = left(event, tm), right(event, tm)
            kind, other_kind = type(one), type(other)
            if kind is other_kind and kind in _ORDERED:
                return compare(one, other)
            if kind in _NUMBERS and other_kind in _NUMBERS:
                return compare(one, other)
            raise Mismatch(f"{sign} does not compare {kind_of(one)} with {kind_of(other)}")

        return ordered

    return make


def _in(left: Closure, right: Closure) -> Closure:
    def found(event: Any, tm: Any) -> bool:
        wanted, there = left(event, tm), right(event, tm)
        if isinstance(there, list):
            if isinstance(wanted, str):
                return wanted in there
            return any(_same(wanted, item) for item in there)
        if isinstance(there, dict) and isinstance(wanted, str | int | float):
            return isinstance(wanted, str) and wanted in there
        raise Mismatch(f"in does not look for {kind_of(wanted)} in {kind_of(there)}")

    return found


def _text(name: str, test: Callable[[str, str], bool]) -> Callable[..., Closure]:
    def make(left: Closure, right: Closure) -> Closure:
        def tested(event: Any, tm: Any) -> bool:
            one, other = left(event, tm), right(event, tm)
            if isinstance(one, str) and isinstance(other, str):
                return test(one, other)
            raise Mismatch(f"{name} needs text, and here are {kind_of(one)} and {kind_of(other)}")

        return tested

    return make


_CALLS: dict[str, tuple[int, Callable[..., Closure]]] = {
    "_||_": (2, _or),
    "_&&_": (2, _and),
    "!_": (1, _not),
    "_==_": (2, _equal),
    "_!=_": (2, _unequal),
    "_<_": (2, _ordered("<", operator.lt)),
    "_<=_": (2, _ordered("<=", operator.le)),
    "_>_": (2, _ordered(">", operator.gt)),
    "_>=_": (2, _ordered(">=", operator.ge)),
    "@in": (2, _in),
    "startsWith": (2, _text("startsWith", str.startswith)),
    "endsWith": (2, _text("endsWith", str.endswith)),
    "contains": (2, _text("contains", operator.contains)),
}
"""By the name that the library gives them: how many arguments, and what makes the closure."""


def kind_of(value: Any) -> str:
    """
    >>> kind_of(True), kind_of(1.5), kind_of(None)
    ('a boolean', 'a number', 'null')
    """
    return _KINDS[type(value)]


_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
