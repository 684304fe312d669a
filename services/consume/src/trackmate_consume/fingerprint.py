"""
What tells a repeat of an event from another event under the same id.

Segment's browser SDK writes `sentAt` anew at each try, and may add `_metadata` only on a retry: on
Segment routes these two members of an event do not count. All else does, byte by byte.
"""

import re
from collections.abc import Iterator
from hashlib import sha256

_OPENING = frozenset(b"[{")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_COMMA_OR_BRACKET = re.compile(rb'[^][{}",]*+(?:%b[^][{}",]*+)*+[][{},]' % _STRING, re.DOTALL)
_TO_BRACKET = re.compile(rb'[^][{}"]*+(?:%b[^][{}"]*+)*+[][{}]' % _STRING, re.DOTALL)


def _spelt(name: str) -> bytes:
    """A pattern for every spelling of a name: JSON may write any letter as an escape."""
    return b"".join(rb"(?:%c|\\u(?i:%04x))" % (letter, letter) for letter in name.encode())


_VOLATILE = re.compile(rb'[ \t\n\r]*+"(?:%b|%b)"' % (_spelt("sentAt"), _spelt("_metadata")))


def fingerprint(value: bytes, *, segment: bool) -> bytes:
    """
    The SHA-256 of an event; on Segment routes, of what is the same at each try.

    >>> one = fingerprint(b'{"messageId":"1","sentAt":"10:00"}', segment=True)
    >>> one == fingerprint(b'{"sentAt":"10:01","messageId":"1","_metadata":{}}', segment=True)
    True
    """
    if segment and _may_hold_volatile(value):
        value = _lasting(value)
    return sha256(value).digest()


def _may_hold_volatile(value: bytes) -> bool:
    if b"sentAt" in value or b"_metadata" in value:
        return True
    return b"\\" in value and b"\\u00" in value  # "\u0073entAt" is the same name


def _lasting(value: bytes) -> bytes:
    """The text without its volatile members, each with its comma; what is no object, as it is."""
    if not value.startswith(b"{"):
        return value
    lasting = [member for member in _members(value) if not _VOLATILE.match(member)]
    return b"{%b}" % b",".join(lasting)


def _members(value: bytes) -> Iterator[bytes]:
    """The bytes between the braces and commas of an object."""
    start = at = 1
    while token := _TO_COMMA_OR_BRACKET.match(value, at):
        at = token.end()
        if value[at - 1] in _OPENING:
            at = _closed(value, at)
        else:
            yield value[start : at - 1]
            start = at


def _closed(value: bytes, at: int) -> int:
    """Where the array or object ends that opens just before `at`."""
    depth = 1
    for token in _TO_BRACKET.finditer(value, at):
        end = token.end()
        depth += 1 if value[end - 1] in _OPENING else -1
        if not depth:
            return end
    return len(value)
