"""
A filter as a tree, read from what the CEL library makes of its text: the library alone knows the
grammar, and nothing is parsed twice.

The library serialises a checked expression as the Protocol Buffers message `cel.expr.CheckedExpr`
(google/cel-spec, proto/cel/expr/checked.proto and syntax.proto); the field numbers are from there.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Scalar = str | int | float | bool | None


class Foreign(Exception):  # noqa: N818 - what the expression is
    """An expression outside of what `closures` knows: the library runs it."""


class Constant(NamedTuple):
    value: Scalar


class Name(NamedTuple):
    name: str


class Select(NamedTuple):
    """`operand.field`, or `has(operand.field)` where it is only tested."""

    operand: "Node"
    field: str
    tested: bool


class Call(NamedTuple):
    """A function or operator; a method's target is the first argument."""

    function: str
    arguments: tuple["Node", ...]


class Items(NamedTuple):
    """A list written out."""

    items: tuple["Node", ...]


Node = Constant | Name | Select | Call | Items

_VALUE_OF_ANY, _EXPR_OF_CHECKED = 2, 4
_CONSTANT, _IDENT, _SELECT, _CALL, _LIST = 3, 4, 5, 6, 7
_VARINT, _FIXED_64, _LENGTH = 0, 1, 2


def read(checked: bytes) -> Node:
    """The tree of a serialised expression. Raises Foreign."""
    return _node(_one(_one(checked, _VALUE_OF_ANY), _EXPR_OF_CHECKED))


def mentions(node: Node, name: str) -> bool:
    """Whether a variable of this name is in the tree."""
    match node:
        case Name(found):
            return found == name
        case Select(operand=operand):
            return mentions(operand, name)
        case Call(arguments=parts) | Items(parts):
            return any(mentions(part, name) for part in parts)
        case _:
            return False


def _node(message: bytes) -> Node:
    for field, value in _fields(message):
        if field in _READERS and isinstance(value, bytes):
            return _READERS[field](value)
    raise Foreign


def _constant(message: bytes) -> Node:
    for field, value in _fields(message):
        if field in _SCALARS:
            return Constant(_SCALARS[field](value))
    raise Foreign


def _name(message: bytes) -> Node:
    return Name(_one(message, 1).decode())


def _select(message: bytes) -> Node:
    found = dict(_fields(message))
    return Select(_node(_one(message, 1)), _one(message, 2).decode(), tested=bool(found.get(3)))


def _call(message: bytes) -> Node:
    parts = [value for field, value in _fields(message) if field in {1, 3}]  # target, arguments
    return Call(_one(message, 2).decode(), tuple(_node(_octets(part)) for part in parts))


def _items(message: bytes) -> Node:
    found = list(_fields(message))
    if any(field != 1 for field, _ in found):  # optional elements
        raise Foreign
    return Items(tuple(_node(_octets(value)) for _, value in found))


_READERS = {_CONSTANT: _constant, _IDENT: _name, _SELECT: _select, _CALL: _call, _LIST: _items}


def _signed(value: int | bytes) -> int:
    number = value if isinstance(value, int) else 0
    return number - (1 << 64) if number >= 1 << 63 else number


def _double(value: int | bytes) -> float:
    (number,) = struct.unpack("<d", _octets(value))
    return float(number)


_SCALARS: dict[int, Callable[[int | bytes], Scalar]] = {
    1: lambda _: None,
    2: bool,
    3: _signed,
    5: _double,
    6: lambda value: _octets(value).decode(),
}
"""By the field of `Constant`; unsigned integers and bytes are left to the library."""


def _one(message: bytes, wanted: int) -> bytes:
    for field, value in _fields(message):
        if field == wanted:
            return _octets(value)
    raise Foreign


def _octets(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Foreign
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: integers, and the bytes of all else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in {_FIXED_64, _LENGTH}:
            raise Foreign
        size, at = (8, at) if kind == _FIXED_64 else _varint(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """
    The integer that begins there, and where it ends.

    >>> _varint(bytes([0b1010_1100, 0b10]), 0)
    (300, 2)
    """
    value = shift = 0
    while True:
        octet = message[at]
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return value, at
