"""
The sink `stdout`: a line for every document on the process's standard output.
"""

import re
import sys
from collections.abc import Sequence
from typing import IO

from trackmate_consume.formats import Format
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Translated

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline


class StdoutSink:
    """Writes to one stream of bytes. On a terminal, what events hold is shown and not obeyed."""

    lanes = 1

    def __init__(self, form: Format, stream: IO[bytes] | None = None) -> None:
        self._form = form
        self._stream = stream or sys.stdout.buffer

    async def open(self) -> None:
        """It is open as long as the process lives."""

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """Raises Down once nobody reads any more."""
        lines = [self._form.line(document) for one in batch for document in one.documents]
        if self._stream.isatty():
            lines = [_shown(line) for line in lines]
        try:
            self._stream.write(b"".join([line + b"\n" for line in lines]))
            self._stream.flush()
        except (OSError, ValueError) as fault:
            raise Down(f"the standard output cannot be written: {fault}") from None
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """It is not ours to close."""


def _shown(line: bytes) -> bytes:
    """
    >>> _shown(b"a\\x1b[2Jb")
    b'a\\\\x1b[2Jb'
    """
    text = line.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text).encode()
