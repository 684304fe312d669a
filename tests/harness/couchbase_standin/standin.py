"""
A stand-in for a Couchbase cluster of one node, on free ports of this machine: the data service with
log-in, roles and durable writes, and the management API for buckets, scopes and users. The real
Python SDK connects to it and cannot tell.

Its limits: nothing is on a disk and there is one node, so a durable write is only known to have
been asked for, and no replica ever fails; no queries, indexes, views, analytics, search, eventing,
XDCR or change streams; of sub-documents the extended attributes alone; values are not compressed;
locks, touches and counters are missing; roles are those in `access.py`, without groups; statuses
and bodies are those of the documentation, and no real server was asked. `make verify-couchbase`
asks one.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web

from couchbase_standin.data_service import DataService
from couchbase_standin.faults import Fault, Faults
from couchbase_standin.frames import Op, Status
from couchbase_standin.management import Management
from couchbase_standin.state import Bucket, Role, State, Stored, User
from couchbase_standin.topology import HOST, Ports

__all__ = [
    "ADMIN",
    "Bucket",
    "Fault",
    "Op",
    "Role",
    "Standin",
    "Status",
    "Stored",
    "User",
    "standing",
]

ADMIN = User("Administrator", "let-me-in", (Role("admin"),))

Result = TypeVar("Result")


class Standin:
    """
    A running one. Its state may be read and changed by the test at any time, as all of it happens
    between two requests.
    """

    def __init__(self) -> None:
        self.state = State(users={ADMIN.id: ADMIN})
        self.faults = Faults()
        self.ports = Ports()
        self.data = DataService(self.state, self.ports, self.faults)
        self._management = Management(self.state, self.ports, self.faults)
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._runner: web.ServerRunner | None = None

    @property
    def address(self) -> str:
        return f"couchbase://{HOST}:{self.ports.data}"

    @property
    def address_tls(self) -> str:
        return f"couchbases://{HOST}:{self.ports.data_tls}"

    @property
    def url(self) -> str:
        """Of the management API."""
        return f"http://{HOST}:{self.ports.management}"

    def user(self, name: str, password: str, *roles: Role) -> User:
        self.state.users[name] = User(name, password, roles)
        return self.state.users[name]

    def bucket(self, name: str, **settings: Any) -> Bucket:
        return self.state.add_bucket(Bucket(name, **settings))

    def documents(
        self, bucket: str, scope: str = "_default", collection: str = "_default"
    ) -> dict[str, Stored]:
        """By key, in the order of coming."""
        found = self.state.buckets[bucket].scopes[scope].collections[collection]
        return {key.decode(): stored for key, stored in list(found.documents.items())}

    def drop_connections(self) -> None:
        self._run(self.data.drop_all)

    def stop(self) -> None:
        """Take no connections, and drop those that are; what is held stays."""
        self._run(self._stop)

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, on the ports of before if there were any."""
        self._run(lambda: self._start(tls))

    def end(self) -> None:
        """Nothing runs any more, connections that were just accepted included."""
        self._run(self._end)

    # inside

    def _run(self, work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _start(self, tls: ssl.SSLContext | None) -> None:
        self.ports.data = await self._listen(self.ports.data, None)
        if tls is not None:
            self.ports.data_tls = await self._listen(self.ports.data_tls, tls)
        self._runner = web.ServerRunner(web.Server(self._management.serve), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.ports.management)
        await site.start()
        self.ports.management = self._runner.addresses[0][1]

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> int:
        server = await asyncio.start_server(self.data.serve, HOST, port, ssl=tls)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.data.drop_all()


@contextmanager
def standing(tls: ssl.SSLContext | None = None) -> Iterator[Standin]:
    """One in a thread of its own."""
    standin = Standin()
    loop = standin._loop  # noqa: SLF001 - the thread is the other half of the object
    thread = threading.Thread(target=loop.run_forever, name="couchbase-standin", daemon=True)
    thread.start()
    try:
        standin.start(tls)
        yield standin
        standin.stop()
        standin.end()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
