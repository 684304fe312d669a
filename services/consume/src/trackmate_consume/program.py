"""PLACEHOLDER of the lead until task A writes this file: overwrite it whole."""

from collections.abc import Sequence
from typing import NamedTuple

from trackmate_consume.formats import FORMATS, Unencodable, raw_json
from trackmate_consume.sink import Document
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record


class Filtered(NamedTuple):
    reason: str


class Dead(NamedTuple):
    reason: str
    detail: str


Result = tuple[Document, ...] | Filtered | Dead


class Misspelt(ValueError):
    path = ""


class Program:
    def __init__(self, spec: PipelineSpec) -> None:
        self._form = FORMATS[spec.format]

    async def compile(self) -> None: ...
    async def translate(self, records: Sequence[Record]) -> list[Result]:
        return [self._one(r) for r in records]

    def _one(self, r: Record) -> Result:
        try:
            return (
                self._form.encode(r.value if r.stamp.content_type is None else raw_json(r), r, 0),
            )
        except Unencodable as e:
            return Dead("format_error", str(e))

    async def close(self) -> None: ...
