"""
The sink `stdout`: lines for programs as they are, for terminals harmless.
"""

import asyncio
import io
import os
import pty

import pytest

from trackmate_consume.formats import FORMATS
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Down, Translated
from trackmate_consume.sinks.stdout import StdoutSink
from trackmate_contract.record import Record, Stamp


def translated(*documents: bytes) -> Translated:
    record = Record("events", 0, 0, "id", None, b"{}", Stamp(0, "web"))
    return Translated(record, tuple(map(Document, documents)))


def test_every_document_is_a_line() -> None:
    stream = io.BytesIO()

    outcomes = asyncio.run(
        StdoutSink(FORMATS["json"], stream).write(
            [translated(b"1", b'{\n"a": 2}'), translated(b"3")]
        )
    )

    assert outcomes == [Outcome.DELIVERED] * 2
    assert stream.getvalue() == b'1\n{ "a": 2}\n3\n'


def test_a_terminal_shows_control_characters_and_does_not_obey_them() -> None:
    controller, terminal = pty.openpty()
    with open(terminal, "wb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        hostile = b"\x1b[2J\x1b]0;owned\x07 \xc2\x9b31m \x7f"
        asyncio.run(StdoutSink(FORMATS["text"], stream).write([translated(hostile)]))
        shown = os.read(controller, 1000)
    os.close(controller)

    assert shown == b"\\x1b[2J\\x1b]0;owned\\x07 \\x9b31m \\x7f\r\n"


def test_when_nobody_reads_any_more_the_sink_is_down() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as stream, pytest.raises(Down, match="cannot be written"):  # noqa: PTH123 - a descriptor
        asyncio.run(StdoutSink(FORMATS["json"], stream).write([translated(b"1")]))
