"""
The sink `postgres` through PgBouncer in transaction mode, where every transaction may be on another
server process, and what one leaves behind is another client's.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from handing import opened, placed, postgres_sink
from ports import free_port
from postgres import ROOT, Server, nobody, started
from trackmate_consume.ledger import Outcome
from waiting_for import wait_until

pytestmark = pytest.mark.needs("postgres", "pgbouncer")

SETTINGS = """
[databases]
postgres = host=127.0.0.1 port={server.port} user={root}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@contextmanager
def pooling(server: Server) -> Iterator[int]:
    """Run a pooler in front of the server; its port."""
    port = free_port()
    settings = SETTINGS.format(server=server, root=ROOT, port=port)
    server.put("pgbouncer.ini", settings.encode())
    command = ["pgbouncer", "-q", str(server.data / "pgbouncer.ini")]
    with (server.home / "pooler.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **nobody())
    asked = ["bash", "-c", f"echo >/dev/tcp/127.0.0.1/{port}"]
    try:
        wait_until(
            lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0,
            "PgBouncer answers",
        )
        yield port
    finally:
        process.kill()
        process.wait()


def test_sinks_that_share_a_pooler_write_every_event_once_and_leave_nothing_behind() -> None:
    with started(settings=["synchronous_commit = off"]) as server, pooling(server) as port:
        url = f"postgresql://{ROOT}@127.0.0.1:{port}/postgres?sslmode=disable"

        async def write(table: str) -> list[Outcome]:
            outcomes: list[Outcome] = []
            batches = [[placed(n % 40, f"e-{n % 40}", b"1", b"2")] for n in range(80)]
            async with opened(postgres_sink(url, table)) as sink:

                async def lane() -> None:
                    while batches:
                        outcomes.extend(await sink.write(batches.pop()))

                await asyncio.gather(*[lane() for _ in range(sink.lanes)])
            return outcomes

        async def at_once() -> list[list[Outcome]]:
            return await asyncio.gather(*[write(f"t{n}") for n in range(3)])

        assert asyncio.run(at_once()) == [[Outcome.DELIVERED] * 80] * 3
        assert server.sql(*[f"SELECT count(*) FROM t{n}" for n in range(3)]) == [["80"]] * 3
        pooled = Server(server.home, port)
        assert pooled.sql("SHOW statement_timeout", "SHOW synchronous_commit") == [["0"], ["off"]]
