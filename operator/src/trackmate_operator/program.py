"""
The operator as a whole: watches, queue, Lease, health, and the end of all of them.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

from aiohttp import web

from trackmate_operator.apply import holds
from trackmate_operator.backend import Backend, Down
from trackmate_operator.clock import Clock
from trackmate_operator.cluster import Cluster, Denied, Stale, Unanswered
from trackmate_operator.deleting import Deletion
from trackmate_operator.figures import Figures, Followed
from trackmate_operator.health import Health
from trackmate_operator.leading import Leadership
from trackmate_operator.orphans import PATIENCE_S, Orphans
from trackmate_operator.owning import Ownership, Registry
from trackmate_operator.platform import Platform
from trackmate_operator.published import published, reference
from trackmate_operator.queue import Queue
from trackmate_operator.reconcile import Reconciler, Unfinished
from trackmate_operator.returning import follow
from trackmate_operator.seen import Seen
from trackmate_operator.watching import Watches

_KAFKA_AGAIN_S = 5.0
_SPREAD_S = 10.0  # of all that waited for Kafka, once it is back

LOOK: ContextVar[str] = ContextVar("look", default="")
"""The look that a line of the log belongs to."""

_log = logging.getLogger("trackmate.operator")


class Operator:
    """One process of it."""

    def __init__(
        self, platform: Platform, cluster: Cluster, records: Registry, backend: Backend
    ) -> None:
        self._platform = platform
        self._seen = Seen(platform.settings.host_template)
        self._cluster = cluster.telling(self._seen.wrote)
        self._clock = Clock()
        self._queue = Queue()
        self._namespaces = Queue(at_once=1)
        self._figures = Figures()
        self._records = records
        self._backend = backend
        deletion = Deletion(self._cluster, records, backend, platform)
        self._reconciler = Reconciler(
            self._cluster,
            Ownership(records, backend),
            deletion,
            platform,
            rivals=self._seen.rivals,
            clock=self._clock,
        )
        self._orphans = Orphans(self._cluster, self._seen.is_owned, self._clock)
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._leadership = Leadership(
            self._cluster, platform.settings.lease, identity, self._clock.elapsed_s
        )
        self._watching = asyncio.Event()
        self._stopping = asyncio.Event()
        self._opening = asyncio.Lock()
        self._open_again_at = self._clock.elapsed_s()
        self._health = Health(
            self._figures.registry,
            self._clock.elapsed_s,
            unready=self._unready,
            stuck=lambda: self._queue.stuck() or self._namespaces.stuck(),
        )

    async def run(self) -> int:
        """Until it is told to stop; gives the exit code."""
        _log.addFilter(_with_look)
        self._figures.follow(
            Followed(
                self._seen.affiliates,
                self._seen.pipelines,
                depth=lambda: len(self._queue),
                leads=lambda: self._leadership.held,
                lease=self._platform.settings.lease.name,
            )
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        async with self._listening():
            beating = asyncio.create_task(self._health.beat())
            leading = asyncio.create_task(self._lead())
            leading.add_done_callback(lambda _: self._stopping.set())
            try:
                unwatched = await self._watch()
            finally:
                for task in (leading, beating):
                    task.cancel()
                lost = (await asyncio.gather(leading, beating, return_exceptions=True))[0]
            await self._leadership.give_up()
        if isinstance(lost, Exception):
            _log.error("ended", exc_info=lost)
        elif unwatched:
            _log.error("ended", extra={"fields": {"fault": unwatched}})
        return 1 if unwatched or isinstance(lost, Exception) else 0

    async def _watch(self) -> str:
        """kopf's share. Once it runs, SIGTERM ends it, and all the rest after it."""
        watches = Watches(
            self._seen,
            self._queue.add,
            lambda namespace: self._namespaces.add_later(namespace, PATIENCE_S),
            strimzi=self._platform.settings.strimzi is not None,
        )
        return await watches.run(begun=self._watching, stopping=self._stopping)

    async def _lead(self) -> None:
        """Wait for the Lease, then work as long as it is held. Raises LeadershipLost."""
        await self._watching.wait()
        await self._leadership.gained()
        await self._publish()
        working = asyncio.create_task(self._work())
        try:
            await self._leadership.keep()
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(self._look))
            group.create_task(self._namespaces.run(self._look_for_orphans))
            group.create_task(follow(self._backend, self._returned))

    def _returned(self) -> None:
        _log.info("Kafka is back")
        self._queue.forgive(_SPREAD_S)

    async def _publish(self) -> None:
        """For `trackmate plan`, and for nothing that is done here."""
        wanted = published(self._platform)
        try:
            found = await self._cluster.get(reference(self._platform))
            if found is None or not holds(found, wanted):
                await self._cluster.apply(wanted)
        except (Unanswered, Denied, Stale) as why:
            _log.warning("not published", extra={"fields": {"fault": str(why)}})

    async def _open_records(self) -> None:
        """
        Read who has what, as the one who worked before has left it, and after any fault anew. As
        long as that cannot be, all is done that does not need it.
        """
        async with self._opening:
            now = self._clock.elapsed_s()
            if self._records.is_open or now < self._open_again_at:
                return
            try:
                await self._records.open()
                self._queue.forgive(_SPREAD_S)
            except Down as why:
                self._open_again_at = self._clock.elapsed_s() + _KAFKA_AGAIN_S
                _log.warning("waits for Kafka", extra={"fields": {"fault": str(why)}})

    async def _look(self, name: str) -> float | None:
        LOOK.set(uuid.uuid4().hex[:8])
        await self._open_records()
        began, result = self._clock.elapsed_s(), "error"
        try:
            with _failure_told(affiliate=name):
                after = await self._reconciler.look(name)
            result = "success"
        except Unfinished:
            result = "unfinished"
            raise
        finally:
            self._figures.looked(result, self._clock.elapsed_s() - began)
        return after

    async def _look_for_orphans(self, namespace: str) -> None:
        with _failure_told(namespace=namespace):
            await self._orphans.look(namespace)

    def _unready(self) -> str:
        return "" if self._watching.is_set() else "the watches have not begun"

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        at = self._platform.settings.metrics
        runner = web.AppRunner(self._health.app(), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, at.host, at.port)
            await site.start()
            _log.info("started", extra={"fields": {"port": runner.addresses[0][1]}})
            yield
        finally:
            await runner.cleanup()


@contextlib.contextmanager
def _failure_told(**about: str) -> Iterator[None]:
    """Log why a look failed, and let the failure go on: the queue repeats what failed."""
    try:
        yield
    except Unfinished:
        raise
    except (Unanswered, Stale, Denied, Down) as why:
        _log.warning("look failed", extra={"fields": {**about, "fault": str(why)}})
        raise
    except Exception:
        _log.exception("look failed", extra={"fields": about})
        raise


def _with_look(record: logging.LogRecord) -> bool:
    look = LOOK.get()
    if look:
        record.fields = {**getattr(record, "fields", {}), "look": look}
    return True
