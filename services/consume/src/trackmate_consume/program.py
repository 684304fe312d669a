"""
The whole way from a record to its documents: filter, transform, format.

Without a filter and a transform nothing is parsed. A filter that `closures` knows runs here; what
it does not know, and every transform, runs in a child process.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from trackmate_consume.expressions import closures, narrow, reading, refused, tree
from trackmate_consume.expressions.host import Host
from trackmate_consume.expressions.messages import Answer, Compiled, Event, Job, Limits
from trackmate_consume.formats import FORMATS, raw_json
from trackmate_consume.sink import Document
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record

_FILTER, _TRANSFORM = "spec.filter", "spec.transform.jq"
_TURN_BYTES = 1 << 20
"""Of events that are decided while nobody else has the event loop."""


class Filtered(NamedTuple):
    """An event that is not for the sink."""

    reason: str
    """`false`, `missing` (it names a field that is not there) or `empty` (no document was made)."""


class Dead(NamedTuple):
    """An event that cannot be translated."""

    reason: str
    """`filter_error`, `filter_limit`, `transform_error`, `transform_limit` or `format_error`."""
    detail: str
    """In words."""


Result = tuple[Document, ...] | Filtered | Dead


class Misspelt(ValueError):  # noqa: N818 - what the expression is
    """An expression that can never run; `path` is its field in the manifest."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


Made = TypeVar("Made")

_Decide = Callable[[Record, bytes], Filtered | Dead | None]


class Program:
    """
    The filter, transform and format of one pipeline.

    It holds a child process from the first event that needs one; `close` ends it, and it may be
    used again after.
    """

    def __init__(self, spec: PipelineSpec, *, limits: Limits | None = None) -> None:
        self._form = FORMATS[spec.format]
        self._limits = limits or Limits()
        self._filter = spec.filter
        self._transform = spec.transform.jq if spec.transform else None
        self._ready = not (self._filter or self._transform)
        self._decide: _Decide | None = None
        self._with_tm = False
        self._host: Host | None = None

    async def check(self) -> list[Misspelt]:
        """
        Everything that is wrong with the expressions, and can be known before an event is there.
        """
        if self._ready:
            return []
        faults = [
            Misspelt(_TRANSFORM, f"line {found.line}, column {found.column}: {_refusal(found)}")
            for found in refused.find(self._transform or "")
        ]
        host = Host(Job(self._filter, self._transform, self._limits))
        try:
            compiled = await host.compiled()
        finally:
            await host.close()
        paths = [path for path, text in self._expressions() if text]
        said = {fault.path for fault in faults}
        faults += [
            Misspelt(path, result.fault)
            for path, result in zip(paths, compiled, strict=False)
            if result.fault and path not in said
        ]
        if not faults:
            self._prepare(compiled)
        return sorted(faults, key=lambda fault: fault.path)

    async def compile(self) -> None:
        """Raises Misspelt, with the first thing that is wrong."""
        for fault in await self.check():
            raise fault

    async def translate(self, records: Sequence[Record]) -> list[Result]:
        """One result a record, in order. Safe to cancel. Raises Misspelt."""
        if not self._ready:
            await self.compile()
        if not self._decide and not self._host:
            return [self._formed(_text(record), record) for record in records]
        return await self._translated(records)

    async def close(self) -> None:
        """End the child process."""
        if self._host is not None:
            await self._host.close()

    def _expressions(self) -> Iterable[tuple[str, str | None]]:
        return (_FILTER, self._filter), (_TRANSFORM, self._transform)

    def _prepare(self, compiled: Sequence[Compiled]) -> None:
        in_child = self._filter
        if self._filter:
            try:
                self._decide = _decision(tree.read(compiled[0].tree))
                in_child = None
            except tree.Foreign:
                self._decide = None
        if in_child or self._transform:
            self._with_tm = "tm" in (in_child or "") or "$tm" in (self._transform or "")
            self._host = Host(Job(in_child, self._transform, self._limits))
        self._ready = True

    async def _translated(self, records: Sequence[Record]) -> list[Result]:
        if self._host is None:
            return await self._turns(records, self._decided_here)
        decided = await self._turns(records, self._decided)
        events: list[Event] = [
            (reading.whole(_text(record)), _json(_tm(record)) if self._with_tm else None)
            for record, result in zip(records, decided, strict=True)
            if result is None
        ]
        answers = iter(await self._host.answers(events))
        return [
            result or self._answered(next(answers), record)
            for record, result in zip(records, decided, strict=True)
        ]

    async def _turns(self, records: Sequence[Record], make: Callable[[Record], Made]) -> list[Made]:
        """What it makes of each; other pipelines get their turn between large events."""
        made = []
        size = 0
        for record in records:
            made.append(make(record))
            size += len(record.value)
            if size > _TURN_BYTES:
                await asyncio.sleep(0)
                size = 0
        return made

    def _decided(self, record: Record) -> Filtered | Dead | None:
        """What a closure says of it."""
        return self._decide(record, _text(record)) if self._decide else None

    def _decided_here(self, record: Record) -> Result:
        """Where nothing runs in a child."""
        assert self._decide is not None  # noqa: S101 - a filter that is here has a closure
        text = _text(record)
        return self._decide(record, text) or self._formed(text, record)

    def _answered(self, answer: Answer, record: Record) -> Result:
        if answer.reason in {"false", "missing"}:
            return Filtered(answer.reason)
        if answer.reason:
            return Dead(answer.reason, answer.detail)
        if self._transform is None:
            return self._formed(_text(record), record)
        if not answer.documents:
            return Filtered("empty")
        documents: list[Document] = []
        for part, text in enumerate(answer.documents):
            made = self._formed(text, record, part)
            if isinstance(made, Dead):
                return made
            documents += made
        return tuple(documents)

    def _formed(self, text: bytes, record: Record, part: int = 0) -> tuple[Document] | Dead:
        try:
            return (self._form.encode(text, record, part),)
        except ValueError as fault:  # it cannot hold the document, or that is no JSON
            return Dead("format_error", str(fault))


def _text(record: Record) -> bytes:
    """The event as JSON: a raw body is text that holds its base64."""
    return record.value if record.stamp.content_type is None else raw_json(record)


_json = msgspec.json.Encoder().encode


def _tm(record: Record) -> dict[str, Any]:
    """What expressions see of an event beside its bytes."""
    stamp = record.stamp
    return {
        "id": record.id,
        "stream": record.stream,
        "partition": record.partition,
        "offset": record.offset,
        "received": stamp.received_ms,
        "key": stamp.key,
        "type": stamp.type,
    }


def _decision(node: tree.Node) -> _Decide:
    """Raises Foreign."""
    look, read = closures.closure(node), narrow.reader(node)
    with_tm = tree.mentions(node, "tm")

    def decide(record: Record, text: bytes) -> Filtered | Dead | None:
        try:
            value = look(read(text), _tm(record) if with_tm else None)
        except closures.Missing:
            return Filtered("missing")
        except closures.Mismatch as fault:
            return Dead("filter_error", str(fault))
        except ValueError as fault:
            return Dead("filter_error", f"the event is no JSON: {fault}")
        if value is True:
            return None
        if value is False:
            return Filtered("false")
        said = closures.kind_of(value)
        return Dead("filter_error", f"the filter says {said}, and not true or false; compare it")

    return decide


def _refusal(found: refused.Found) -> str:
    return f"{found.word!r} is not allowed: {refused.REFUSED[found.word]}"


async def misspelt(spec: PipelineSpec) -> list[Misspelt]:
    """All that is wrong with its expressions. Raises Unstarted where nobody can look."""
    program = Program(spec)
    try:
        return await program.check()
    finally:
        await program.close()
