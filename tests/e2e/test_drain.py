"""
SIGTERM under load: whoever sent a request gets its answer. Only new connections are refused, once
the process has gone.

The clients are what a load balancer is: some stop sending here soon after the signal, some only
when they are refused. Instances run side by side, since a drain mostly waits.
"""

import asyncio
import os
import select
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest
import uvloop

import oracle
import wire
from mix import mix
from running import ACME, Dev, start
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.server import AT_THE_DOOR_SECONDS, QUIET_SECONDS, Server, keep_newcomers_out
from traffic import UNKNOWN, Ledger, Load, Outcome

StartDev = Callable[..., Dev]

SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
ROUNDS = 50
LANES = 3
CONNECTIONS = 8
DRAIN_SECONDS = 1
GONE_SECONDS = 20


class Lane:
    """One data folder, on which instances start and drain one after the other."""

    def __init__(self, home: Path) -> None:
        self.ledger = Ledger()
        self._home = home
        self._key = ""
        (home / "affiliates").mkdir(parents=True)
        (home / "affiliates" / "acme.yaml").write_text(ACME, "utf-8")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dev]:
        dev = await asyncio.to_thread(start, self._home, "--drain", f"{DRAIN_SECONDS}s")
        try:
            self._key = self._key or await asyncio.to_thread(dev.key, "server")
            yield dev
        finally:
            if dev.process.poll() is None:
                dev.kill()

    async def drain(self, seed: int, *, load_seconds: float | None) -> float:
        """
        SIGTERM under load, which goes on for so long, or until it is refused.

        Returns how long the end took. Fails where it was not clean.
        """
        async with self.running() as dev:
            load = Load(dev.url, self._key, self.ledger)
            load.begin(mix(seed), connections=CONNECTIONS)
            enough = self.ledger.count(Outcome.OK) + Random(seed).randint(20, 120)
            await load.until(lambda it: it.count(Outcome.OK) >= enough, what="the signal")
            dev.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            gone = asyncio.create_task(asyncio.to_thread(dev.process.wait, GONE_SECONDS))
            await asyncio.wait({gone}, timeout=load_seconds)
            load.stop()
            await load.ended()
            assert await gone == 0, dev.log
            return time.monotonic() - began

    async def check(self) -> None:
        """Nobody was cut or put off, and all that was acknowledged is there."""
        bad = [(a.request.name, a.outcome) for a in self.ledger.attempts if a.outcome in UNKNOWN]
        assert not bad, f"{len(bad)} were not answered: {bad[:10]}"
        async with self.running() as dev:
            await asyncio.to_thread(oracle.check, dev, self.ledger)
            assert await asyncio.to_thread(dev.stop) == 0, dev.log

    def last_answers(self) -> int:
        """How many answers said `Connection: close`: those that a drain gave."""
        answers = [a.answer for a in self.ledger.attempts if a.answer is not None]
        return sum(answer.headers.get("connection") == "close" for answer in answers)


@pytest.mark.timeout(300)
def test_fifty_drains_under_load_cut_nobody_off(tmp_path: Path) -> None:
    async def run(lane: Lane, seeds: range) -> None:
        for seed in seeds:
            rng = Random(seed)
            load_seconds = rng.choice((None, rng.uniform(0, 0.2), rng.uniform(0.2, 0.5)))
            took = await lane.drain(seed, load_seconds=load_seconds)
            print(f"seed {seed}: load {load_seconds or 'until refused'}, ended in {took:.2f} s")
        await lane.check()

    async def scenario() -> None:
        seeds = range(SEED, SEED + ROUNDS)
        runs = [run(lane, seeds[number::LANES]) for number, lane in enumerate(lanes)]
        for end in await asyncio.gather(*runs, return_exceptions=True):  # each ends its processes
            if end is not None:
                raise end

    lanes = [Lane(tmp_path / str(number)) for number in range(LANES)]
    asyncio.run(scenario())
    assert all(lane.last_answers() for lane in lanes), "no request met a drain"


def test_under_load_that_never_stops_a_drain_ends_at_its_deadline(tmp_path: Path) -> None:
    async def scenario() -> float:
        lane = Lane(tmp_path / "lane")
        took = await lane.drain(SEED, load_seconds=None)
        await lane.check()
        assert lane.last_answers()
        return took

    print(f"\nseed {SEED}")
    took = asyncio.run(scenario())
    assert DRAIN_SECONDS <= took < DRAIN_SECONDS + 5


@pytest.fixture
def draining(start_dev: StartDev) -> Iterator["Draining"]:
    dev = start_dev()
    yield Draining(dev, dev.key("server"))
    assert dev.process.wait(timeout=GONE_SECONDS) == 0, dev.log


class Draining:
    """An instance that drains from `begin` on."""

    def __init__(self, dev: Dev, key: str) -> None:
        self.dev = dev
        self._key = key

    def request(self, body: bytes, *, key: str = "") -> bytes:
        headers = (f"Authorization: Bearer {key or self._key}", "Content-Type: application/json")
        return wire.request("/v1/events", *headers, body=body)

    def begin(self) -> None:
        """SIGTERM, and wait until it is felt."""
        self.dev.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GONE_SECONDS
        ask = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        while wire.exchange(self.dev, ask).status != 503:
            assert time.monotonic() < deadline, "still ready after SIGTERM"


@pytest.mark.parametrize("size", [40, -10], ids=["in its headers", "in its body"])
def test_a_request_half_received_at_the_signal_is_answered(draining: Draining, size: int) -> None:
    whole = draining.request(b'{"messageId": "half"}')
    with wire.connect(draining.dev) as connection:
        connection.sendall(whole[:size])
        draining.begin()
        ended, _, _ = select.select([connection], [], [], 2 * QUIET_SECONDS)
        assert not ended, "the quiet while half a request is there ended the drain"
        connection.sendall(whole[size:])
        reply = wire.receive(connection)
    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_a_connection_kept_alive_is_told_to_close_with_its_next_answer(draining: Draining) -> None:
    with wire.connect(draining.dev) as connection:
        connection.sendall(draining.request(b'{"messageId": "before"}'))
        before = wire.receive(connection)
        draining.begin()
        connection.sendall(draining.request(b'{"messageId": "after"}'))
        after = wire.receive(connection)
    assert (before.status, before.headers.get("connection")) == (200, None)
    assert (after.status, after.headers["connection"]) == (200, "close")


def test_a_refusal_that_comes_before_the_whole_request_can_be_read(draining: Draining) -> None:
    """The rest of the body meets a connection that still reads: no reset takes the answer away."""
    whole = draining.request(b'{"a": "%b"}' % (b"x" * 60_000), key="tmw_nobody")
    with wire.connect(draining.dev) as connection:
        draining.begin()
        connection.sendall(whole[:500])
        select.select([connection], [], [], GONE_SECONDS)
        connection.sendall(whole[500:30_000])
        connection.sendall(whole[30_000:])
        reply = wire.receive(connection)
        assert connection.recv(1) == b""
    assert (reply.status, reply.headers["connection"]) == (401, "close")


@pytest.mark.needs("linux")
def test_a_listener_that_lets_nobody_new_in_still_gives_those_at_the_door() -> None:
    """What the drain does before it closes: here without the rest of the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as newcomer:
        early = socket.create_connection(listener.getsockname())
        keep_newcomers_out(listener)
        newcomer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            newcomer.connect(listener.getsockname())
        early.sendall(b"here")
        accepted, _ = listener.accept()
        assert accepted.recv(4) == b"here"
        accepted.close()
        early.close()


class _Visited(Server):
    """
    A server to which clients come at the last moment, when the drain has found it quiet, and which
    then gets no processor for longer than newcomers have.
    """

    visitors: list[socket.socket]

    async def _quiet(self) -> None:
        address = self.servers[0].sockets[0].getsockname()
        self.visitors = [socket.create_connection(address) for _ in range(20)]
        for visitor in self.visitors:
            visitor.sendall(wire.request("/"))
        asyncio.get_running_loop().call_soon(time.sleep, 3 * AT_THE_DOOR_SECONDS)


def test_all_who_come_when_the_drain_has_just_ended_are_answered() -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Visited(answer, Metrics())
        server.should_exit = True
        uvloop.run(server.serve([listener]))
    for visitor in server.visitors:
        with visitor:
            assert wire.receive(visitor).status == 200
