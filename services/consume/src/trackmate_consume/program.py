"""
The whole way from a record to its documents: filter, transform, format.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from trackmate_consume.expressions import comparing
from trackmate_consume.expressions.comparing import Missing, Mistyped, Seen
from trackmate_consume.expressions.frames import Answer, Task
from trackmate_consume.expressions.process import Child, Limits, Misspelt
from trackmate_consume.expressions.surrogates import mended
from trackmate_consume.formats import FORMATS, Unencodable, raw_json
from trackmate_consume.sink import Document
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record

__all__ = ["Dead", "Filtered", "Limits", "Misspelt", "Program", "Result"]


class Filtered(NamedTuple):
    """The pipeline does not want the event."""

    reason: str
    """`false`; `missing`: the filter names a field that is not there; `empty`: no document."""


class Dead(NamedTuple):
    """The event cannot be translated, now or later."""

    reason: str
    """`filter_error`, `filter_limit`, `transform_error`, `transform_limit` or `format_error`."""
    detail: str


Result = tuple[Document, ...] | Filtered | Dead


class Program:
    """
    What one pipeline makes of records. A filter that only compares runs here; for another filter,
    and for a transform, there is a child process, from first need until `close`.
    """

    def __init__(self, spec: PipelineSpec, *, limits: Limits | None = None) -> None:
        self._form = FORMATS[spec.format]
        self._compares = comparing.compile_filter(spec.filter) if spec.filter else None
        asked = spec.filter if self._compares is None else None
        self._jq = spec.transform.jq if spec.transform else None
        self._child: Child | None = None
        if asked is not None or self._jq is not None:
            self._child = Child(asked, self._jq, limits or Limits())
        self._names_tm = "tm" in f"{asked} {self._jq}"

    @property
    def child_pid(self) -> int | None:
        """Of the child process, while there is one."""
        return self._child.pid if self._child else None

    async def compile(self) -> None:
        """Raises Misspelt for all that can be found before the first event."""
        if self._child is not None:
            await self._child.start()

    async def translate(self, records: Sequence[Record]) -> list[Result]:
        """One result a record, in order. Raises Misspelt."""
        if self._compares is None and self._child is None:
            return [self._encoded(record, (_text(record),)) for record in records]
        results: list[Result | None] = [self._compared(record) for record in records]
        left = [index for index, result in enumerate(results) if result is None]
        answers: Sequence[Answer | None] = [None] * len(left)
        if self._child is not None and left:
            answers = await self._child.ask([self._task(records[index]) for index in left])
        for index, answer in zip(left, answers, strict=True):
            results[index] = self._result(records[index], answer)
        return [result for result in results if result is not None]

    async def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            await self._child.close()

    def _compared(self, record: Record) -> Filtered | Dead | None:
        """What the filter says here; None for an event that goes on."""
        if self._compares is None:
            return None
        tm = _tm(record) if self._compares.reads_tm else None
        try:
            said = self._compares.term(Seen(_decoded(_text(record)), tm))
        except Missing:
            return Filtered("missing")
        except Mistyped as fault:
            return Dead("filter_error", str(fault))
        if said is True:
            return None
        if said is False:
            return Filtered("false")
        shown = repr(said)[:200]
        words = f"the filter said {shown}, which is neither true nor false"
        return Dead("filter_error", words)

    def _task(self, record: Record) -> Task:
        tm = msgspec.json.encode(_tm(record)) if self._names_tm else b""
        return Task(mended(_text(record)), tm)

    def _result(self, record: Record, answer: Answer | None) -> Result:
        if answer is None or (answer.kind == "made" and self._jq is None):
            return self._encoded(record, (_text(record),))
        if answer.kind == "made":
            return self._encoded(record, answer.documents)
        if answer.kind == "filtered":
            return Filtered(answer.reason)
        return Dead(answer.reason, answer.detail)

    def _encoded(self, record: Record, texts: Sequence[bytes]) -> Result:
        try:
            encode = self._form.encode
            return tuple([encode(text, record, part) for part, text in enumerate(texts)])
        except Unencodable as fault:
            return Dead("format_error", str(fault))


def _text(record: Record) -> bytes:
    """The event as JSON text: as sent, a raw body as a string of its base64."""
    return record.value if record.stamp.content_type is None else raw_json(record)


def _tm(record: Record) -> dict[str, Any]:
    """What expressions see of what the platform knows."""
    return {
        "id": record.id,
        "stream": record.stream,
        "received": record.stamp.received_ms,
        "key": record.stamp.key,
        "type": record.stamp.type,
        "partition": record.partition,
        "offset": record.offset,
    }


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(mended(text))
    except (msgspec.DecodeError, RecursionError):  # a number that no double holds
        return json.loads(mended(text))
