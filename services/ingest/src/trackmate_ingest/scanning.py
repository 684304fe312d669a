"""
One JSON text, scanned exactly: where it ends, or where and why it is not JSON (RFC 8259).

The standard library's C scanner does the work, so that half a megabyte of the worst costs tens of
milliseconds; what it takes beyond the RFC (`NaN`) and beyond our limit (depth) is refused here.
`strict` reads whole bodies with it. Places are counted in characters.
"""

import re
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

MAX_DEPTH = 128
"""How many levels one event may nest; `{}` is one level."""

NO_COMMA = "a comma or a closing bracket is missing"
NO_NAME = "a name in double quotes is missing"
NO_COLON = "a colon is missing"
TRAILING_COMMA = "a trailing comma"
TOO_DEEP = f"nested deeper than {MAX_DEPTH}"
BAD_ESCAPE = "an invalid escape in a string"

_REASONS = {
    "Expecting ',' delimiter": NO_COMMA,
    "Expecting ':' delimiter": NO_COLON,
    "Expecting property name": NO_NAME,
    "Expecting value": "not a JSON value",
    "Illegal trailing comma": TRAILING_COMMA,
    "Invalid \\": BAD_ESCAPE,
    "Invalid control character": "a control character in a string",
    "Unterminated string": "a string without an end",
}
"""Our words for the scanner's, by how its message begins."""

WHITE_SPACE = " \t\n\r"
_PARTIAL_ESCAPE = re.compile(r"\\?u?[0-9A-Fa-f]*")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(set(range(256)).difference(b"[]{}"))
_NUMBER_GOES_ON = re.compile(r"[0-9][-+.0-9Ee]")
_TOKEN = re.compile(  # a string may lack its end: the stop of a search may lie inside
    r'"(?:[^"\\]++|\\.?)*+"?|(?P<open>[\[{])|(?P<close>[\]}])|(?P<constant>NaN|-?Infinity)',
    re.DOTALL,
)


class Fault(Exception):  # noqa: N818 - the word of strict and of the answer
    """A text is not JSON, or nests too deep."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"Not JSON at character {at}: {what}.")
        self.at = at
        self.what = what


def scan(text: str, start: int) -> tuple[object, int]:
    """
    Decode the JSON text that begins at `start`, and tell where it ends.

    A number is decoded to the bytes it was sent as: its digits may be more than a float keeps, or
    than `int()` takes.

    >>> scan('{"a": 1e400} {', 0)
    ({'a': b'1e400'}, 12)
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except JSONDecodeError as error:
        refuse_beyond(text, start, error.pos)
        raise _fault(error) from None
    except (_Constant, RecursionError):
        refuse_beyond(text, start, len(text))
        raise
    if _NUMBER_GOES_ON.match(text, end - 1):
        raise Fault(end, "a malformed number")
    return value, end


def refuse_beyond(text: str, start: int, stop: int) -> None:
    """Refuse what the scanner took (or gave up on) before `stop`, but we do not take."""
    depth = 0
    for token in _TOKEN.finditer(text, start, stop):
        kind = token.lastgroup
        if kind == "open":
            depth += 1
            if depth > MAX_DEPTH:
                raise Fault(token.start(), TOO_DEEP)
        elif kind == "close":
            depth -= 1
        elif kind == "constant":
            raise Fault(token.start(), f"{token[0]} is not JSON")


def is_too_deep(event: bytes) -> bool:
    """Whether a text that is known to be JSON nests too deep."""
    if event.count(b"[") + event.count(b"{") <= MAX_DEPTH:  # nearly always: this is the hot path
        return False
    brackets = _STRING.sub(b"", event).translate(_ROUND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"()", b"")  # takes the innermost level off, everywhere
    return bool(brackets)


class _Constant(Exception):  # noqa: N818 - the scanner met NaN or Infinity, and tells no place
    pass


def _refuse_constant(_: str) -> NoReturn:
    raise _Constant


_DECODER = JSONDecoder(
    parse_int=str.encode, parse_float=str.encode, parse_constant=_refuse_constant
)


def _fault(error: JSONDecodeError) -> Fault:
    text, at = error.doc, error.pos
    if error.msg.startswith("Invalid \\u"):
        return Fault(next(_PARTIAL_ESCAPE.finditer(text, at)).end(), BAD_ESCAPE)
    if _NUMBER_GOES_ON.match(text, at - 1):
        return Fault(at, "a malformed number")
    before = text[:at].rstrip(WHITE_SPACE)
    if before.endswith(",") and text.startswith(("]", "}"), at):
        return Fault(len(before) - 1, TRAILING_COMMA)
    if text.startswith("\N{BYTE ORDER MARK}", at):
        return Fault(at, "a byte order mark")
    ours = (reason for theirs, reason in _REASONS.items() if error.msg.startswith(theirs))
    return Fault(at, next(ours, "not JSON"))
