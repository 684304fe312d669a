"""
A proxy that breaks the way back: a request reaches the server whole, and the client never learns
what became of it. Well-made clients then repeat it, and the server must see that they did.

Its limits: HTTP/1.0 towards the client, so that each request has a connection of its own and no
browser repeats one by itself; bodies need a Content-Length; an answer is read whole before it is
passed on, so no live streams; of headers with the same name the last one counts; faults meet only
POSTs, in the order they come, as only they carry events.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Condition, Thread


class Fault(Enum):
    """What becomes of an answer on its way back."""

    UNAVAILABLE = "it becomes a 503, with the CORS headers it had"
    CUT = "the connection ends before its first byte"


@dataclass(frozen=True)
class Exchange:
    """A POST that reached the server, what the server answered, and what the client saw of that."""

    body: bytes
    status: int
    fault: Fault | None


class Halfway:
    """One proxy: where it is, and what went through it."""

    def __init__(self, server: str, faults: Iterable[Fault]) -> None:
        """`server` is a host and a port; each fault meets one request, those after it none."""
        self.server = server
        self.url = ""
        self.exchanges: list[Exchange] = []
        self._faults = iter(faults)
        self._changed = Condition()

    def next_fault(self) -> Fault | None:
        with self._changed:
            return next(self._faults, None)

    def remember(self, exchange: Exchange) -> None:
        with self._changed:
            self.exchanges.append(exchange)
            self._changed.notify_all()

    def wait_until(
        self, enough: Callable[[list[Exchange]], bool], *, seconds: float = 15
    ) -> list[Exchange]:
        """What went through, once it is enough."""
        with self._changed:
            came = self._changed.wait_for(lambda: enough(self.exchanges), seconds)
            seen = [(one.status, one.fault) for one in self.exchanges]
            assert came, f"not enough after {seconds} s: {seen}"
            return list(self.exchanges)


class _Listener(ThreadingHTTPServer):
    daemon_threads = False  # its end waits for the requests that are under way


@contextmanager
def halfway(server_url: str, faults: Iterable[Fault]) -> Iterator[Halfway]:
    """Run a proxy in front of `server_url`; after its end, `exchanges` has all that got through."""
    proxy = Halfway(server_url.removeprefix("http://"), faults)

    class Handler(_Handler):
        between = proxy

    with _Listener(("127.0.0.1", 0), Handler) as listener:
        proxy.url = f"http://127.0.0.1:{listener.server_port}"
        thread = Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    between: Halfway
    timeout = 10  # seconds; a browser may open a connection and never use it

    def do_GET(self) -> None:
        self._pass_on()

    def do_OPTIONS(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            return  # the client left: its request did not get through
        status, headers, answer = self._ask(body)
        fault = self.between.next_fault()
        self.between.remember(Exchange(body, status, fault))
        if fault is Fault.CUT:
            self.connection.shutdown(SHUT_RDWR)
        elif fault is Fault.UNAVAILABLE:
            self._answer(503, headers, b"")
        else:
            self._answer(status, headers, answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Quiet: what went through is in `exchanges`."""

    def _pass_on(self) -> None:
        self._answer(*self._ask(None))

    def _ask(self, body: bytes | None) -> tuple[int, HTTPMessage, bytes]:
        connection = HTTPConnection(self.between.server, timeout=10)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: HTTPMessage, body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
