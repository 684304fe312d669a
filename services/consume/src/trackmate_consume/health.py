"""
What Kubernetes and Prometheus ask a pipeline's pod: /healthz, /readyz and /metrics on one port.

Alive means that it makes progress: a pod that reads nothing though events wait, and does not know
why, is started again. Who waits for a sink, or is paused, knows why.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

_STUCK_S = 300.0  # that a pipeline may do nothing with events that wait
_LOOP_S = 30.0  # that the event loop may not turn


@dataclass
class Progress:
    """How long a pipeline has done nothing that it should do. Looked at from another thread."""

    settled: int = 0
    moved_at: float = 0.0
    turned_at: float = 0.0

    def note(self, *, settled: int, waits: bool, now: float) -> None:
        """Once in a while. `waits`: whether there is nothing to do, or a known reason not to."""
        self.turned_at = now
        if waits or settled != self.settled:
            self.settled, self.moved_at = settled, now

    def fault(self, now: float) -> str:
        """
        Why it is to be started again; "" while it makes progress.

        >>> progress = Progress()
        >>> progress.note(settled=1, waits=False, now=100)
        >>> progress.note(settled=1, waits=False, now=410)
        >>> progress.fault(410)
        'events wait, and none was settled for 310 s'
        >>> progress.fault(500)
        'the event loop has not turned for 90 s'
        """
        if now - self.turned_at > _LOOP_S:
            return f"the event loop has not turned for {now - self.turned_at:.0f} s"
        if now - self.moved_at > _STUCK_S:
            return f"events wait, and none was settled for {now - self.moved_at:.0f} s"
        return ""


Answer = tuple[bool, str]
"""Yes or no, and why."""


@contextmanager
def serving(
    host: str,
    port: int,
    registry: CollectorRegistry,
    *,
    healthy: Callable[[], Answer],
    ready: Callable[[], Answer],
) -> Iterator[int]:
    """Serve on a thread; gives the port. Raises OSError where it cannot be bound."""
    asked = {"/healthz": healthy, "/readyz": ready}
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        if path not in asked:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There are /healthz, /readyz and /metrics.\n"]
        good, why = asked[path]()
        status = "200 OK" if good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({path.strip("/").removesuffix("z"): good, "reason": why}).encode()]

    with make_server(host, port, app, WSGIServer, _Quiet) as server:
        thread = Thread(target=server.serve_forever, name="health", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """A probe every few seconds is no news."""


def now() -> float:
    """The clock of `Progress`, in seconds."""
    return time.monotonic()
