"""
An event's JSON as expressions see it. What no expression touches is passed on byte for byte.
"""

import json
import re
from typing import Any

import msgspec

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F]..)|.)",
    re.DOTALL,
)
_decode = msgspec.json.Decoder().decode


def whole(text: bytes) -> bytes:
    r"""
    The JSON text with U+FFFD for each escape of half a surrogate pair, which no UTF-8 can hold.

    >>> whole(rb'"\ud83d\ude00 \ud800 \\ud800"')
    b'"\\ud83d\\ude00 \\ufffd \\\\ud800"'
    """
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


def value(text: bytes) -> Any:
    """
    The value of a JSON text from `whole`: integers exact, a number beyond doubles is infinite, and
    of repeated members the last. Raises ValueError where it is no JSON.

    >>> value(b"[1234567890123456789, 1.10, 1e1000]")
    [1234567890123456789, 1.1, inf]
    """
    try:
        return _decode(text)
    except msgspec.DecodeError:  # a number beyond doubles, or no JSON
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | float:
    """Python refuses integers of thousands of digits."""
    return int(digits) if len(digits) < 100 else float(digits)  # noqa: PLR2004 - any bound will do
