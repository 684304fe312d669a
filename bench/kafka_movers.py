"""
What moves events from Kafka to files beside trackmate-consume, each alone in a process, which
prints the CPU seconds that it took:
`kafka_movers.py bare|faststream BOOTSTRAP TOPIC GROUP FOLDER EVENTS`.

`bare` is the least that does the same for this once: it reads, filters, writes, syncs and commits,
without books, order, retries, or knowing after a crash what it wrote. `faststream` does so as its
users write it, in the same batches.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import uvloop
from confluent_kafka import Consumer
from faststream import FastStream
from faststream.confluent import KafkaBroker

from movers import chosen, step

BATCH = 500


def write(file: Any, documents: list[bytes]) -> None:
    file.write(b"".join([document + b"\n" for document in documents]))
    file.flush()
    os.fsync(file.fileno())


def bare(bootstrap: str, topic: str, group: str, folder: Path, events: int) -> None:
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    seen = 0
    with (folder / "bare.ndjson").open("ab") as file:
        while seen < events:
            messages = consumer.consume(BATCH, 1)
            if not messages:
                continue
            values = [message.value() or b"" for message in messages]
            documents = [one for value in values if (one := step("filter", value)) is not None]
            write(file, documents)
            consumer.commit(asynchronous=False)
            seen += len(messages)
    consumer.close()


async def faststream(bootstrap: str, topic: str, group: str, folder: Path, events: int) -> None:
    broker = KafkaBroker(bootstrap, logger=None)
    app = FastStream(broker, logger=None)
    seen = 0
    with (folder / "faststream.ndjson").open("ab") as file:

        async def handle(batch: list[dict[str, Any]]) -> None:
            nonlocal seen
            kept = [one for event in batch if (one := chosen("filter", event)) is not None]
            write(file, [json.dumps(one).encode() for one in kept])
            seen += len(batch)
            if seen >= events:
                app.exit()

        broker.subscriber(
            topic, group_id=group, batch=True, max_records=BATCH, auto_offset_reset="earliest"
        )(handle)
        await app.run()


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    name, bootstrap, topic, group, folder, events = sys.argv[1:]
    before = cpu_seconds()  # what was imported is no event's cost
    if name == "bare":
        bare(bootstrap, topic, group, Path(folder), int(events))
    else:
        uvloop.run(faststream(bootstrap, topic, group, Path(folder), int(events)))
    print(cpu_seconds() - before)


if __name__ == "__main__":
    main()
