"""
`trackmate send`: the events of a file, sliced here so that each keeps its bytes and a fault is told
with its place in the file, then sent in batches that the server takes.
"""

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress

from trackmate import show
from trackmate.client import Client
from trackmate.errors import Unsendable
from trackmate_ingest.refusals import Malformed, OverLimit
from trackmate_ingest.slicing import Slicer

_TRIES = 8


@dataclass(frozen=True)
class Sent:
    """What was stored."""

    events: int
    requests: int


def send(client: Client, name: str, file: str, *, stream: str | None) -> Sent:
    """Send a file, or standard input for `-`. Raises Unsendable."""
    affiliate = client.affiliate(name)
    batches = list(_batches(_slice(_read(file)), affiliate["limits"]))
    key = _key(affiliate)
    run = uuid.uuid4()  # with the batch's number: a repeat of ours is known as one
    with Progress(console=show.err, transient=True) as progress:
        for index, batch in enumerate(progress.track(batches, description="Sending")):
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"{run}-{index}"}
            _post(client, b"\n".join(batch), headers, stream)
    return Sent(sum(map(len, batches)), len(batches))


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Unsendable(f"{file!r} cannot be read: {error.strerror}.") from None


def _slice(content: bytes) -> list[bytes]:
    slicer = Slicer(max_events=len(content) + 1, max_event_bytes=len(content) + 1)
    try:
        return [event.value for event in slicer.sniffed(content)]
    except (Malformed, OverLimit) as fault:
        raise Unsendable(f"Nothing was sent. {fault}") from None


def _batches(events: Sequence[bytes], limits: dict[str, int]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for event in events:
        full = len(batch) == limits["batchEvents"] or size + len(event) + 1 > limits["bodyBytes"]
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield batch


def _key(affiliate: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    valid = [
        key
        for key in affiliate["keys"]
        if key["expires"] is None or datetime.fromisoformat(key["expires"]) > now
    ]
    usable = sorted(valid, key=lambda key: key["use"] != "Server")
    if not usable:
        raise Unsendable(
            f"Affiliate {affiliate['name']!r} has no key. "
            f"Make one: trackmate keys create {affiliate['name']} command"
        )
    value: str = usable[0]["key"]
    return value


def _post(client: Client, body: bytes, headers: dict[str, str], stream: str | None) -> None:
    """Post one batch, and repeat while the server asks for that."""
    headers = {**headers, "Content-Type": "application/x-ndjson"}
    query = {"stream": stream} if stream else None
    for _ in range(_TRIES):
        response = client.http.post("/v1/events", content=body, headers=headers, params=query)
        if response.status_code not in {429, 503}:
            break
        time.sleep(float(response.headers["retry-after"]))
    if response.is_error:
        raise Unsendable(f"The server answered {response.status_code}: {response.json()['detail']}")
