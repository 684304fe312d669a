"""
The words of jq that a transform may not use: they read what is not there (files, the environment,
other events), or end the event without a word.

Here it is said before the pipeline starts, and where. What this overlooks (a word that the program
defines elsewhere) is an error of the event that meets it: `FENCE`.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

_NO_MODULES = "a transform has no modules: write the definitions into it"
_NO_OTHERS = "a transform sees one event at a time: use . for it"
_NO_ENVIRONMENT = "a transform has no environment: write the value into it"
_NO_HALT = "a transform goes on with the next event: use empty for no document, error for a fault"
_NO_FILES = "a transform reads no files"

REFUSED = {
    "import": _NO_MODULES,
    "include": _NO_MODULES,
    "modulemeta": _NO_MODULES,
    "get_search_list": _NO_MODULES,
    "input": _NO_OTHERS,
    "inputs": _NO_OTHERS,
    "env": _NO_ENVIRONMENT,
    "$ENV": _NO_ENVIRONMENT,
    "halt": _NO_HALT,
    "halt_error": _NO_HALT,
    "input_filename": _NO_FILES,
    "input_line_number": _NO_FILES,
}
"""By word, why not and what instead."""

FENCE = (
    "".join(
        f"def {word}: error({json.dumps(f'{word!r} is not allowed: {why}')}); "
        for word, why in REFUSED.items()
        if word not in {"import", "include", "$ENV"}  # of the grammar; the child opens no file
    )
    + "def halt_error($status): halt_error; "
)
"""What goes before a transform: the same words, defined as errors."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<word>\$?[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)
      | (?P<sign>["()\[\]{}:,;])
      | (?P<rest>.)""",
    re.VERBOSE | re.DOTALL,
)
_STRING = re.compile(r'(?:[^"\\]|\\(?!\().)*', re.DOTALL)
_CLOSING = {")": "(", "]": "[", "}": "{"}


class Found(NamedTuple):
    """A refused word, where it stands, from 1."""

    word: str
    line: int
    column: int


def find(program: str) -> Iterator[Found]:
    """
    The refused words that the program calls. Fields, names in objects, text and what the program
    defines by itself are none.

    >>> [found.word for found in find('{env, a: .input, b: input} | "env \\\\($ENV)"')]
    ['input', '$ENV']
    """
    defined: set[str] = set()
    last = ""
    for word, at in _called(program):
        if last == "def":
            defined.add(word)
        elif word in REFUSED and word not in defined:
            before = program[:at]
            yield Found(word, before.count("\n") + 1, at - before.rfind("\n"))
        last = word


def _called(program: str) -> Iterator[tuple[str, int]]:
    """Every word that is no field and no name in an object, with its place."""
    inside: list[str] = []  # what is open: brackets, and " for text
    at, before = 0, ""
    while at < len(program):
        token = _TOKEN.match(program, at)
        if token is None:
            return
        at = token.end()
        text = token[0]
        if token["word"] and not _is_name(text, inside, before):
            yield text, token.start()
        elif text == '"':
            inside.append(text)
            at = _past_text(program, at, inside)
        elif text == ")" and inside[-2:] == ['"', "("]:
            inside.pop()
            at = _past_text(program, at, inside)
        elif token["sign"]:
            _nest(inside, text)
        if not text.isspace() and not token["comment"]:
            before = text


def _past_text(program: str, at: int, inside: list[str]) -> int:
    """Where the text ends, or a \\( in it begins."""
    token = _STRING.match(program, at)
    at = token.end() if token else at
    if program.startswith("\\(", at):
        inside.append("(")
        return at + 2
    inside.pop()
    return at + 1


def _nest(inside: list[str], sign: str) -> None:
    if sign in "([{":
        inside.append(sign)
    elif sign in _CLOSING and inside and inside[-1] == _CLOSING[sign]:
        inside.pop()


def _is_name(word: str, inside: list[str], before: str) -> bool:
    """In `{env: 1}` and `{env}` the word names a member; in `{$ENV}` it is looked up as well."""
    return inside[-1:] == ["{"] and before in {"{", ","} and not word.startswith("$")
