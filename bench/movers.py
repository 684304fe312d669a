"""
What moves events from a log to a sink, each alone in a process, which prints the CPU seconds that
it took, its children's too: `movers.py ours|bare|faststream SINK STEPS FOLDER TARGET EVENTS`.

`ours` is a pipeline as `trackmate dev` runs it, on the embedded log, with its books. `bare` is the
least that does the same for this once: it reads the log's rows and writes batches, without books,
retries, order or a second start. `faststream` reads a Redis stream in batches of 100 as its users
write it. STEPS: `plain`, `filter` or `both`.
"""

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import uvloop
from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub

from trackmate.backbone import Reads
from trackmate.embedded import books, control, keybook, letters, log, replays, store
from trackmate.embedded.backbone import EmbeddedBackbone
from trackmate.embedded.database import Database, connect
from trackmate.embedded.running import Declaration, run_declared
from trackmate_contract.pipeline import Pipeline

SCHEMA = "".join(m.SCHEMA for m in (log, store, books, keybook, letters, replays, control))
BATCH = 100
FILTER = 'event.type == "track" && event.properties.total > 10'
TRANSFORM = "{id: .messageId, user: .anonymousId, total: .properties.total}"
STREAM = "trackmate-bench"

Deliver = Callable[[Sequence[bytes]], Awaitable[None]]


async def ours(sink: str, steps: str, folder: Path, target: str, events: int) -> None:
    database = Database(folder / "acme.db", SCHEMA)
    spec: dict[str, Any] = {"stream": "events", "sink": declared(sink, target)}
    spec["delivery"] = {"batch": {"events": BATCH, "wait": "1s"}}
    if steps != "plain":
        spec["filter"] = FILTER
    if steps == "both":
        spec["transform"] = {"jq": TRANSFORM}
    manifest = {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "bench", "namespace": "trackmate-acme"},
        "spec": spec,
    }
    backbone = EmbeddedBackbone(database)
    declaration = Declaration(Pipeline.model_validate(manifest), {("warehouse", "url"): target})
    running = await run_declared("acme", database, backbone, declaration)
    reader = database.reader()
    while (line := books.ledger(reader, [Reads("bench", "events")]).lines[0]).in_flight:  # noqa: ASYNC110 - the books have no event
        await asyncio.sleep(0.05)
    assert line.counts.delivered == events, (line, running.pipeline.condition)
    await running.stop()
    reader.close()
    await backbone.close()
    await database.close()


def declared(sink: str, target: str) -> dict[str, Any]:
    if sink == "files":
        return {"files": {"path": target}}
    if sink == "postgres":
        reference = {"name": "warehouse", "key": "url"}
        return {"postgres": {"connectionSecretRef": reference, "table": "ours"}}
    return {"http": {"url": target, "concurrency": 1}}


async def bare(sink: str, steps: str, folder: Path, target: str, events: int) -> None:
    async for deliver in delivering(sink, target):
        reader = connect(folder / "acme.db", readonly=True)
        offset, batch = 0, []
        while records := log.read(reader, "events", offset=offset):
            offset = records[-1].offset + 1
            for record in records:
                if (document := step(steps, record.value)) is not None:
                    batch.append(document)
                if len(batch) == BATCH:
                    await deliver(batch)
                    batch = []
        reader.close()


def step(steps: str, value: bytes) -> bytes | None:
    """What becomes of an event as it was sent."""
    if steps == "plain":
        return value
    made = chosen(steps, json.loads(value))
    if made is None:
        return None
    return value if steps == "filter" else json.dumps(made).encode()


def chosen(steps: str, event: dict[str, Any]) -> dict[str, Any] | None:
    """The filter and the transform as anybody writes them in Python."""
    if steps == "plain":
        return event
    if event.get("type") != "track" or event["properties"]["total"] <= 10:
        return None
    if steps == "filter":
        return event
    made = {"id": event["messageId"], "user": event["anonymousId"]}
    return made | {"total": event["properties"]["total"]}


async def delivering(sink: str, target: str) -> AsyncIterator[Deliver]:
    if sink == "files":
        with (Path(target) / "bare.ndjson").open("ab") as file:

            async def to_file(batch: Sequence[bytes]) -> None:
                file.write(b"".join([document + b"\n" for document in batch]))
                file.flush()
                os.fsync(file.fileno())

            yield to_file
    elif sink == "postgres":
        connection = await asyncpg.connect(target)
        await connection.execute("CREATE TABLE IF NOT EXISTS bare (document jsonb NOT NULL)")

        async def to_table(batch: Sequence[bytes]) -> None:
            texts = [document.decode() for document in batch]
            await connection.execute("INSERT INTO bare SELECT unnest($1::jsonb[])", texts)

        yield to_table
        await connection.close()
    else:
        async with aiohttp.ClientSession() as session:

            async def to_webhook(batch: Sequence[bytes]) -> None:
                async with session.post(target, data=b"[%b]" % b",".join(batch)) as answer:
                    await answer.read()
                    answer.raise_for_status()

            yield to_webhook


async def faststream(sink: str, steps: str, folder: Path, target: str, events: int) -> None:
    broker = RedisBroker(os.environ["REDIS_URL"], logger=None)  # type: ignore[arg-type, unused-ignore]
    app = FastStream(broker, logger=None)
    seen = 0
    async for deliver in delivering(sink, target):
        source = StreamSub(STREAM, batch=True, max_records=BATCH, last_id="0")

        async def handle(batch: list[dict[str, Any]]) -> None:
            nonlocal seen
            made = [chosen(steps, event) for event in batch]
            documents = [json.dumps(one).encode() for one in made if one is not None]
            if documents:
                await deliver(documents)  # noqa: B023 - there is one
            seen += len(batch)
            if seen >= events:
                app.exit()

        broker.subscriber(stream=source)(handle)
        await app.run()


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    name, sink, steps, folder, target, events = sys.argv[1:]
    mover = {"ours": ours, "bare": bare, "faststream": faststream}[name]
    before = cpu_seconds()  # what was imported is no event's cost
    uvloop.run(mover(sink, steps, Path(folder), target, int(events)))
    print(cpu_seconds() - before)
