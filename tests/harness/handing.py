"""
Hands events to a sink, as the flow does.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeVar

import uvloop

from trackmate_consume.formats import FORMATS
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Sink, Translated
from trackmate_consume.sinks.http import HttpSink
from trackmate_consume.sinks.kafka import KafkaSink
from trackmate_consume.sinks.postgres import PostgresSink
from trackmate_consume.sinks.resolving import Lookup, system_lookup
from trackmate_contract.pipeline import Http, Kafka, Postgres
from trackmate_contract.record import Record, Stamp
from trackmate_contract.specs import SecretKeyRef

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
"""Both loops that the product runs on."""

AnySink = TypeVar("AnySink", bound=Sink)


def event(event_id: str, *documents: bytes, head: bytes = b"") -> Translated:
    """An event that became these documents."""
    record = Record("events", 0, 0, event_id, None, b"{}", Stamp(0, "web"))
    return Translated(record, tuple(Document(value, head) for value in documents or (b"{}",)))


def http_sink(
    spec: dict[str, Any],
    *,
    form: str = "json",
    batched: bool = False,
    secrets: dict[str, str] | None = None,
    allowed: Sequence[IPv4Network | IPv6Network] = LOOPBACK,
    lookup: Lookup = system_lookup,
) -> HttpSink:
    """A sink as declared in YAML. `secrets` are those of one Secret, by key."""

    def secret(ref: SecretKeyRef) -> str | None:
        return (secrets or {}).get(ref.key)

    return HttpSink(
        Http.model_validate(spec),
        FORMATS[form],
        batched=batched,
        secret=secret,
        allowed=allowed,
        lookup=lookup,
    )


def placed(offset: int, event_id: str, *documents: bytes, value: bytes = b"{}") -> Translated:
    """An event of these bytes at this place of the log."""
    record = Record("events", 0, offset, event_id, None, value, Stamp(1_800_000_000_123, "web"))
    return Translated(record, tuple(Document(one) for one in documents or (value,)))


def postgres_sink(
    connection: str,
    table: str = "events",
    *,
    form: str = "json",
    authority: str | None = None,
    **more: Any,
) -> PostgresSink:
    """A sink as declared in YAML, with its connection string in a Secret."""
    secrets = {"url": connection, "ca": authority}
    spec: dict[str, Any] = {"connectionSecretRef": {"name": "warehouse", "key": "url"}}
    if authority is not None:
        spec["tls"] = {"caSecretRef": {"name": "warehouse", "key": "ca"}}
    return PostgresSink(
        Postgres.model_validate(spec | {"table": table}),
        FORMATS[form],
        secret=lambda ref: secrets[ref.key],
        **{"allowed": LOOPBACK, **more},
    )


def kafka_sink(
    servers: str,
    topic: str = "bookings",
    *,
    form: str = "json",
    secrets: dict[str, str] | None = None,
    **more: Any,
) -> KafkaSink:
    """A sink as declared in YAML. `secrets` are those of the Secret that it names, by key."""
    spec: dict[str, Any] = {"bootstrapServers": servers, "topic": topic}
    if secrets is not None:
        spec["credentialsSecretRef"] = {"name": "partner-kafka"}
    return KafkaSink(
        Kafka.model_validate(spec),
        FORMATS[form],
        secret=lambda ref: (secrets or {}).get(ref.key),
        **{"allowed": LOOPBACK, **more},
    )


@asynccontextmanager
async def opened(sink: AnySink) -> AsyncIterator[AnySink]:
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def hand(sink: Sink, *batch: Translated) -> list[Outcome]:
    """Open the sink, write one batch, and close it."""
    async with opened(sink):
        return list(await sink.write(batch or [event("e-1")]))


async def fault(work: Coroutine[Any, Any, object]) -> Exception:
    """What it raises; it must."""
    try:
        await work
    except Exception as raised:  # noqa: BLE001 - whatever it is
        return raised
    raise AssertionError("nothing was raised")
