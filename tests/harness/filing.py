"""
Hands events to the sink `files`, as the flow does, and reads what is in its folder as others do.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from trackmate_consume.formats import FORMATS
from trackmate_consume.sink import Document, Translated
from trackmate_consume.sinks.file_names import Writer
from trackmate_consume.sinks.files import FilesSink
from trackmate_contract.pipeline import Files
from trackmate_contract.record import Record, Stamp

WRITER = Writer("acme", "to-files", "1f3a5c7e")


def event(
    offset: int, *documents: bytes, head: bytes = b"", stream: str = "events", partition: int = 0
) -> Translated:
    """An event at this offset that became these documents; without any, one that names it."""
    record = Record(stream, partition, offset, f"id-{offset}", None, b"{}", Stamp(0, "web"))
    documents = documents or (b"%d" % offset,)
    return Translated(record, tuple(Document(value, head) for value in documents))


def files_sink(
    path: Path | str, *, form: str = "json", writer: Writer = WRITER, **rotate: Any
) -> FilesSink:
    """A sink as declared in YAML."""
    spec = Files.model_validate({"path": str(path), "rotate": rotate})
    return FilesSink(spec, FORMATS[form], writer)


@asynccontextmanager
async def opened(sink: FilesSink) -> AsyncIterator[FilesSink]:
    try:
        await sink.open()
        yield sink
    finally:
        await sink.close()


def hand(sink: FilesSink, *batches: Sequence[Translated]) -> None:
    """Open the sink, write the batches, and close it."""

    async def to_end() -> None:
        async with opened(sink):
            for batch in batches:
                await sink.write(batch)

    asyncio.run(to_end())


def leave(path: Path, *batches: Sequence[Translated], **how: Any) -> None:
    """Make the folder what a process leaves there that is killed after these writes."""
    living = path.with_name("living")

    async def scenario() -> None:
        async with opened(files_sink(living, **how)) as sink:
            for batch in batches:
                await sink.write(batch)
            shutil.copytree(living, path)

    asyncio.run(scenario())
    shutil.rmtree(living)


def finished(path: Path) -> dict[str, bytes]:
    """The finished files in the order of their names, as a reader that globs sees them."""
    return {file.name: file.read_bytes() for file in sorted(path.glob("[!.]*"))}


def lines(path: Path) -> list[bytes]:
    """Of all finished files."""
    return [line for content in finished(path).values() for line in content.splitlines()]


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait without a turn of the event loop lost."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.01)
    assert condition(), what


@contextmanager
def mounted(path: Path, *arguments: str) -> Iterator[None]:
    """A file system of its own there, as `mount` makes it of these arguments."""
    path.mkdir(parents=True)
    subprocess.run(["mount", *arguments, str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)
