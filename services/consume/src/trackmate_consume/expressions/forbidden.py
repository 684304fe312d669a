"""
What a jq program may not name: modules, other inputs, its process and the end of it. Pure.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_WHY = {
    "import": "there are no modules",
    "include": "there are no modules",
    "modulemeta": "there are no modules",
    "get_search_list": "there are no modules",
    "input": "a program sees one event",
    "inputs": "a program sees one event",
    "input_filename": "an event has no file",
    "input_line_number": "an event has no file",
    "env": "there is no environment",
    "$ENV": "there is no environment",
    "debug": "nobody reads it; use 'trackmate try'",
    "stderr": "nobody reads it; use 'trackmate try'",
    "halt": "it would end the program for all events; use 'empty' or 'error'",
    "halt_error": "it would end the program for all events; use 'error'",
}

PRELUDE = "{} as $ENV|" + "".join(
    f'def {name}:error("{name} is refused");'
    for name in _WHY
    if name not in {"import", "include", "$ENV"}
)
"""Goes before a program, so that none of them is there, however it is written."""


class Refused(NamedTuple):
    """A name that is refused, where it stands (line and column from 1), and why."""

    name: str
    line: int
    column: int
    why: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.name!r} is refused: {self.why}"


def first_refused(program: str) -> Refused | None:
    """
    >>> str(first_refused(".a | env"))
    "line 1, column 6: 'env' is refused: there is no environment"
    >>> first_refused('{env: .input, debug, s: "halt"} # stderr')
    """
    for name, at in _names(program):
        if name in _WHY:
            line = program.count("\n", 0, at) + 1
            column = at - (program.rfind("\n", 0, at) + 1) + 1
            return Refused(name, line, column, _WHY[name])
    return None


_CODE = re.compile(
    r"\s+|#[^\n]*|(?P<field>\.\s*[A-Za-z_]\w*)|(?P<name>\$?[A-Za-z_]\w*(?:::\w+)*)|(?P<mark>.)",
    re.DOTALL | re.ASCII,
)
_TEXT = re.compile(r"(?P<code>\\\()|\\.|(?P<end>\")|[^\\\"]+|\\", re.DOTALL)


def _names(program: str) -> Iterator[tuple[str, int]]:
    """Every name outside of strings, comments, fields and keys, with its offset."""
    open_: list[str] = []  # brackets, and '"' for a string
    before = ""
    at = 0
    while at < len(program):
        inside_text = bool(open_) and open_[-1] == '"'
        match = (_TEXT if inside_text else _CODE).match(program, at)
        assert match is not None  # noqa: S101 - both patterns take any character
        at = match.end()
        if match.lastgroup is None:
            continue
        is_key = open_[-1:] == ["{"] and before in {"{", ","} and not match[0].startswith("$")
        if match.lastgroup == "name" and not is_key:
            yield match[0], match.start()
        _open_or_close(open_, match)
        before = match[0]


def _open_or_close(open_: list[str], match: re.Match[str]) -> None:
    found = match[0]
    if match.lastgroup == "code":
        open_.append("(")
    elif match.lastgroup == "end" or (found in {")", "]", "}"} and open_):
        open_.pop()
    elif match.lastgroup == "mark" and found in {"(", "[", "{", '"'}:
        open_.append(found)
