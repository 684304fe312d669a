"""
How documents are written: one, a line of a file, or the body of a request.

A document comes as one JSON text, the event as sent or an output of the transform, and is encoded
once, before any sink sees it.
"""

import csv
import io
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from trackmate_consume.sink import Document
from trackmate_contract.record import Record

Encode = Callable[[bytes, Record, int], Document]
"""From a JSON text, its event's record and which of the event's documents it is (0 the first)."""


class Unencodable(ValueError):  # noqa: N818 - what the document is
    """A document that the format cannot hold."""


@dataclass(frozen=True)
class Format:
    """One of the formats that a Pipeline may name."""

    encode: Encode
    """Raises Unencodable."""
    content_type: str
    """Of a body with one document."""
    batch_type: str
    """Of a body with several."""
    extension: str
    """Of files, without the dot."""
    batch: Callable[[Sequence[Document]], bytes]
    """The body of a request with documents of one head."""
    line: Callable[[Document], bytes]
    """A document as a line of a file, without the newline."""


def bodies(form: Format, documents: Iterable[Document]) -> Iterator[bytes]:
    """
    The documents as few bodies as can be: where the head changes a new one begins.

    >>> list(bodies(FORMATS["json"], [Document(b"1"), Document(b"2")]))
    [b'[1,2]']
    """
    for _, alike in groupby(documents, key=lambda document: document.head):
        yield form.batch(list(alike))


def _as_json(text: bytes, record: Record, part: int) -> Document:
    return Document(text)


def _one_line(document: Document) -> bytes:
    """In JSON a raw newline stands between tokens only, so a space means the same."""
    return document.value.replace(b"\r", b" ").replace(b"\n", b" ")


def _whole(document: Document) -> bytes:
    return document.value


def _array(documents: Sequence[Document]) -> bytes:
    return b"[%b]" % b",".join([document.value for document in documents])


def _lines(documents: Sequence[Document]) -> bytes:
    return b"".join([_one_line(document) + b"\n" for document in documents])


def _texts(documents: Sequence[Document]) -> bytes:
    return b"".join([document.value + b"\n" for document in documents])


def _table(documents: Sequence[Document]) -> bytes:
    head = documents[0].head
    rows = b"".join([document.value + b"\r\n" for document in documents])
    return head + b"\r\n" + rows if head else rows


def _as_text(text: bytes, record: Record, part: int) -> Document:
    """A JSON string as what it says; a raw body as it came; all else as JSON."""
    if record.stamp.content_type is not None and text == raw_json(record):
        return Document(record.value)
    if not text.lstrip(b" \t\r\n").startswith(b'"'):
        return Document(text)
    return Document(json.loads(text).encode("utf-8", "replace"))


def _as_csv(text: bytes, record: Record, part: int) -> Document:
    """An object is a row under its names, an array a row without."""
    try:
        return _table_row(text)
    except RecursionError:  # an event is bounded, but not what a transform makes of it
        raise Unencodable("csv needs a document that is nested less deep than this one") from None


def _table_row(text: bytes) -> Document:
    value = json.loads(text, parse_float=_Digits, parse_int=_Digits, parse_constant=_Digits)
    if isinstance(value, dict):
        return Document(_row(value.values()), _row(value))
    if isinstance(value, list):
        return Document(_row(value))
    raise Unencodable(f"csv needs an object or an array, and the document is {_kind(value)}")


class _Digits(str):
    """A number of JSON as it was written: a 19-digit order number stays one."""

    __slots__ = ()


def _row(cells: Iterable[Any]) -> bytes:
    """RFC 4180, without the line's end."""
    text = io.StringIO()
    csv.writer(text, lineterminator=_LINE_END).writerow([_cell(cell) for cell in cells])
    return text.getvalue().removesuffix(_LINE_END).encode("utf-8", "replace")


_LINE_END = "\r\n"  # the writer quotes cells that hold a character of its line's end, and no other
_FORMULA = re.compile(  # behind what a spreadsheet passes over; the last four are full-width
    r"[\t\r\n]|[\s\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]*[-=+@\uff1d\uff0b\uff0d\uff20]"
)


def _cell(value: Any) -> str:
    """Text that a spreadsheet would run as a formula is quoted (OWASP, CSV injection)."""
    if isinstance(value, _Digits):
        return str(value)
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _cell(_compact(value))


def _compact(value: Any) -> str:
    """Nested values as JSON, with the numbers as they were written."""
    if isinstance(value, _Digits):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_compact(name)}:{_compact(item)}" for name, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    names = {bool: "a boolean", _Digits: "a number", str: "a string", type(None): "null"}
    return names[type(value)]


def _as_cloudevent(text: bytes, record: Record, part: int) -> Document:
    """A CloudEvent in structured mode (CloudEvents 1.0.2, JSON format 3)."""
    stamp = record.stamp
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": record.id if not part else f"{record.id}.{part}",
        "source": f"/streams/{record.stream}",
        "type": f"io.trackmate.{stamp.type or 'event'}",
        "time": datetime.fromtimestamp(stamp.received_ms / 1000, UTC).isoformat(),
    }
    if record.key is not None:
        event["partitionkey"] = record.key
    if stamp.content_type is not None and text == raw_json(record):
        event |= {"datacontenttype": stamp.content_type, "data_base64": json.loads(text)}
        return Document(json.dumps(event).encode())
    event["datacontenttype"] = "application/json"
    return Document(b'%b,"data":%b}' % (json.dumps(event)[:-1].encode(), text))


def raw_json(record: Record) -> bytes:
    """A raw body as filter, transform and formats see it: a JSON string of its base64."""
    return b'"%b"' % b64encode(record.value)


_CSV = "text/csv; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"

FORMATS = {
    "json": Format(_as_json, "application/json", "application/json", "ndjson", _array, _one_line),
    "ndjson": Format(
        _as_json, "application/x-ndjson", "application/x-ndjson", "ndjson", _lines, _one_line
    ),
    "csv": Format(
        _as_csv, "text/csv; charset=utf-8", "text/csv; charset=utf-8", "csv", _table, _whole
    ),
    "text": Format(
        _as_text, "text/plain; charset=utf-8", "text/plain; charset=utf-8", "txt", _texts, _whole
    ),
    "cloudevents": Format(
        _as_cloudevent,
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "ndjson",
        _array,
        _one_line,
    ),
}
