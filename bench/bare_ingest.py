"""
The least that does on Kafka what ingest does, in Python on the same server: what a target for
ingest can be on this machine. Events are cut and acknowledged; no key, rate or limit is looked at.

    bare_ingest.py PORT BOOTSTRAP TOPIC
"""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import uvloop
from confluent_kafka import Producer

from trackmate_ingest.kafka_log import PROMISES
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.problems import CORS
from trackmate_ingest.server import Server


class Fields(msgspec.Struct):
    """What is read of an event: its id, and what its partition follows from."""

    messageId: str  # noqa: N815 - as it is sent
    anonymousId: str  # noqa: N815


_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS = msgspec.json.Decoder(Fields)


class Bare:
    """An ASGI app."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": bootstrap, **PROMISES})
        self._stored: list[asyncio.Future[None]] = []
        threading.Thread(target=self._poll_on, daemon=True).start()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        events = [*map(bytes, _ARRAY.decode(body))] if body.startswith(b"[") else [body]
        await self._store(events)
        answer = b'{"status":"stored","events":%d}\n' % len(events)
        headers = [(b"content-type", b"application/json"), *CORS]
        headers.append((b"content-length", b"%d" % len(answer)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _store(self, events: Sequence[bytes]) -> asyncio.Future[None]:
        stored: asyncio.Future[None] = self._loop.create_future()
        left = len(events)

        def delivered(error: Any, _: Any) -> None:
            nonlocal left
            left -= 1
            if not left and not error:
                self._stored.append(stored)

        shared = [("tm-received", b"%d" % (time.time_ns() // 1_000_000)), ("tm-key", b"server")]
        for event in events:
            fields = _FIELDS.decode(event)
            headers: list[Any] = [("tm-id", fields.messageId.encode()), *shared]
            self._producer.produce(
                self._topic, event, fields.anonymousId, headers=headers, on_delivery=delivered
            )
        return stored

    def _poll_on(self) -> None:
        while True:
            self._producer.poll(0.1)
            stored, self._stored = self._stored, []
            if stored:
                self._loop.call_soon_threadsafe(_wake, stored)


def _wake(stored: Sequence[asyncio.Future[None]]) -> None:
    for one in stored:
        one.set_result(None)


async def serve(port: int, bootstrap: str, topic: str) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        app = Bare(bootstrap, topic)
        await Server(app, Metrics(), drain_seconds=1).serve([listener])


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
