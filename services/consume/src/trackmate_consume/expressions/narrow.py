"""
Decodes of an event what a filter names, and passes over the rest, which is most of it.

An event that is not of the form that the filter expects, as text where it looks for a field, is
decoded whole: the closure then says what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

import msgspec

from trackmate_consume.expressions import reading
from trackmate_consume.expressions.tree import Call, Constant, Items, Name, Node, Select

Form = dict[str, "Form | None"]
"""The members of an object that are named, and what of each; None for all of it."""


def reader(node: Node) -> Callable[[bytes], Any]:
    """What decodes an event's JSON for this filter. It raises ValueError where that is no JSON."""
    form = form_of(node)
    if form is None:
        return _whole
    decode = msgspec.json.Decoder(_typed(form)).decode

    def read(text: bytes) -> Any:
        try:
            return decode(text)
        except msgspec.DecodeError:  # of another form, or what msgspec does not read
            return _whole(text)

    return read


def form_of(node: Node) -> Form | None:
    """
    Of `event`.

    >>> a_b = Select(Select(Name("event"), "a", False), "b", False)
    >>> form_of(Call("_==_", (a_b, Select(Name("event"), "c", False))))
    {'a': {'b': None}, 'c': None}
    """
    form: Form | None = {}
    for path in _paths(node):
        form = _with(form, path)
    return form


def _paths(node: Node) -> Iterator[Sequence[str]]:
    """The names on the way to each value of the event that is looked at."""
    if (path := _path(node)) is not None:
        yield path
        return
    match node:
        case Select(operand=operand):
            yield from _paths(operand)
        case Call(arguments=parts) | Items(parts):
            for part in parts:
                yield from _paths(part)


def _path(node: Node) -> list[str] | None:
    """None where it does not lead from the event, by names alone."""
    match node:
        case Name("event"):
            return []
        case Select(operand, name) | Call("_[_]", (operand, Constant(str() as name))):
            above = _path(operand)
            return None if above is None else [*above, name]
    return None


def _with(form: Form | None, path: Sequence[str]) -> Form | None:
    if form is None or not path:
        return None
    name, *rest = path
    return {**form, name: _with(form.get(name, {}), rest)}


def _typed(form: Form | None) -> Any:
    if form is None:
        return Any
    members = {name: _typed(part) for name, part in form.items()}
    return TypedDict("Members", members, total=False)  # type: ignore[operator]


def _whole(text: bytes) -> Any:
    return reading.value(reading.whole(text))
