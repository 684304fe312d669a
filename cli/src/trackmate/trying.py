"""
`trackmate try`: what a pipeline of a file makes of events, step by step. Nothing is sent or kept,
and no instance is needed.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from trackmate import show
from trackmate.errors import Refusal
from trackmate.folder import Owner, read_file
from trackmate.spelling import look
from trackmate_consume.formats import FORMATS, Unencodable
from trackmate_consume.program import Dead, Filtered, Program, Result
from trackmate_contract.pipeline import Pipeline
from trackmate_contract.record import Record, Stamp

_KEY = "try"  # what `tm.key` is


class Untriable(Refusal):
    """A file that holds no pipeline, or no events."""


def try_out(pipeline_file: Path, event_file: str, *, as_json: bool) -> bool:
    """
    Print what each pipeline of the file makes of each event; whether none is a dead letter.
    `event_file` holds one JSON text or one a line; `-` is standard input.
    """
    pipelines = _pipelines(pipeline_file)
    events = _events(event_file)
    found = asyncio.run(_tried(pipelines, events))
    if as_json:
        show.verbatim(json.dumps(found))
    else:
        for one in found:
            _print(one)
    return not any("dead" in one for one in found)


def _pipelines(path: Path) -> list[Pipeline]:
    if not path.is_file():
        raise Untriable(f"{str(path)!r} is no file. Name the YAML file of a pipeline.")
    folder = read_file(path, _anyone(path))
    asyncio.run(look(folder))
    if folder.misfits:
        raise Untriable("\n".join(map(str, folder.misfits)))
    if not folder.pipelines:
        raise Untriable(f"{str(path)!r} holds no Pipeline. Name the YAML file of one.")
    return [declared.pipeline for declared in folder.pipelines.values()]


def _anyone(path: Path) -> dict[str, Owner]:
    """An owner for each namespace that the file names: the affiliate may be in another file."""
    streams: dict[str, list[str]] = {}
    try:
        for node in yaml.compose_all(path.read_text("utf-8"), yaml.SafeLoader):
            namespace = _text(node, "metadata", "namespace")
            streams.setdefault(namespace, []).append(_text(node, "spec", "stream"))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):
        return {}  # reading it properly says what is wrong
    return {namespace: Owner("", tuple(named)) for namespace, named in streams.items()}


def _text(node: yaml.Node | None, *names: str) -> str:
    """The text at the end of the names; "" where there is none."""
    for name in names:
        members = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in members if key.value == name), None)
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _events(name: str) -> list[bytes]:
    """One JSON text, or one a line."""
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise Untriable(f"{name!r} cannot be read: {error.strerror}.") from None
    if _fault(content) is None:
        return [content.strip()]
    lines = {at: line.strip() for at, line in enumerate(content.split(b"\n"), 1) if line.strip()}
    for at, line in lines.items():
        if fault := _fault(line):
            raise Untriable(f"{name}:{at}: is not JSON: {fault}. Write one event a line.")
    if not lines:
        raise Untriable(f"{name!r} holds no event. Write one JSON text a line.")
    return list(lines.values())


def _fault(text: bytes) -> str | None:
    try:
        json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


async def _tried(pipelines: Sequence[Pipeline], events: Sequence[bytes]) -> list[dict[str, Any]]:
    found = []
    for pipeline in pipelines:
        records = [_record(pipeline, at, event) for at, event in enumerate(events)]
        program = Program(pipeline.spec.model_copy(update={"format": "json"}))
        try:
            results = await program.translate(records)
        finally:
            await program.close()
        for record, result in zip(records, results, strict=True):
            steps = {"pipeline": pipeline.name, "event": record.offset + 1}
            found.append(steps | _steps(pipeline, record, result))
    return found


def _record(pipeline: Pipeline, at: int, event: bytes) -> Record:
    content = json.loads(event)
    members = content if isinstance(content, dict) else {}
    kind = members.get("type")
    stamp = Stamp(int(time.time() * 1000), _KEY, kind if isinstance(kind, str) else None)
    event_id = str(members.get("messageId") or f"event-{at + 1}")
    return Record(pipeline.spec.stream, 0, at, event_id, None, event, stamp)


def _steps(pipeline: Pipeline, record: Record, result: Result) -> dict[str, Any]:
    """`filter`, `documents` and `written`, as far as the event came; `filtered` or `dead`."""
    passed: dict[str, Any] = {"filter": "true"} if pipeline.spec.filter else {}
    if isinstance(result, Dead):
        steps = {} if result.reason.startswith("filter") else passed
        return steps | {"dead": result._asdict()}
    if isinstance(result, Filtered):
        if result.reason == "empty":
            return passed | {"documents": [], "filtered": "empty"}
        return {"filter": result.reason, "filtered": result.reason}
    texts = [document.value for document in result]
    steps = passed | {"documents": [text.decode() for text in texts]}
    encode = FORMATS[pipeline.spec.format].encode
    try:
        written = [encode(text, record, part) for part, text in enumerate(texts)]
    except Unencodable as fault:
        return steps | {"dead": Dead("format_error", str(fault))._asdict()}
    heads = [written[0].head] if written[0].head else []
    lines = [*heads, *(document.value for document in written)]
    return steps | {"written": [line.decode("utf-8", "replace") for line in lines]}


_FILTERS = {
    "true": "true",
    "false": "false: the event is filtered",
    "missing": "a field is missing, which is false: the event is filtered",
}


def _print(steps: dict[str, Any]) -> None:
    show.verbatim(f"{steps['pipeline']}, event {steps['event']}")
    if "filter" in steps:
        _line("filter", _FILTERS[steps["filter"]])
    for document in steps.get("documents", []):
        _line("document", document)
    if steps.get("filtered") == "empty":
        _line("document", "none: the event is filtered")
    for line in steps.get("written", []):
        _line("written", line)
    if "dead" in steps:
        _line("dead letter", f"{steps['dead']['reason']}: {steps['dead']['detail']}")


def _line(step: str, text: str) -> None:
    show.verbatim(f"  {step:<12}{show.visible(text)}")
