"""
A backend for webhooks: a real HTTP server that remembers what it was sent, byte for byte, and
answers as it is told: with any status, late, a byte at a time, or by resetting the connection.

As a program it appends each request to a file, so that tests which kill have something to count:
`python tests/harness/receiver.py --port 8099 --store FILE`; `read_store` reads the file.

Its limits: a body needs a Content-Length; the file is written before the answer, and not synced.
"""

import argparse
import json
import os
import socket
import ssl
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread


@dataclass(frozen=True)
class Request:
    """What came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By their names in lower case; those of one name with commas between."""
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0
    """Before the first byte."""
    a_byte_every_s: float = 0.0
    """0 sends all bytes at once."""
    reset: bool = False
    """No answer: the connection is reset."""
    raw: bytes | None = None
    """What goes out in the place of all of it."""


Answering = Callable[[Request], Answer]


def taken(request: Request) -> Answer:
    return Answer()


class Receiver:
    """One running backend."""

    def __init__(self, answering: Answering, store: Path | None = None) -> None:
        self.port = 0
        self.scheme = "http"
        self.connections = 0
        """How many were made, with or without a request."""
        self.requests: list[Request] = []
        self.answering = answering
        self.ended = Event()
        self._store = store
        self._changed = Condition()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def note_connection(self) -> None:
        with self._changed:
            self.connections += 1

    def take(self, request: Request) -> Answer:
        """Remember a request, and decide what it is answered."""
        with self._changed:
            if self._store is None:
                self.requests.append(request)
            else:
                _append(self._store, request)
            self._changed.notify_all()
        return self.answering(request)

    def wait_for(self, count: int, *, seconds: float = 15) -> list[Request]:
        """The requests, once there are so many."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= count, seconds)
            assert came, f"{len(self.requests)} of {count} requests after {seconds} s"
            return list(self.requests)


@contextmanager
def receiving(
    answering: Answering = taken,
    *,
    tls: ssl.SSLContext | None = None,
    at: tuple[str, int] = ("127.0.0.1", 0),
    store: Path | None = None,
) -> Iterator[Receiver]:
    """Run a backend."""
    backend = Receiver(answering, store)

    class Handler(_Handler):
        receiver = backend

    listening = _Listener6 if ":" in at[0] else _Listener
    with listening(at, Handler) as listener:
        listener.tls = tls
        backend.port = listener.server_port
        backend.scheme = "https" if tls else "http"
        thread = Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield backend
        finally:
            backend.ended.set()
            listener.shutdown()
            thread.join()


def read_store(file: Path) -> list[Request]:
    """What a receiver of another process was sent; a line that is being written is passed over."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [_read(json.loads(line)) for line in lines]


def _append(file: Path, request: Request) -> None:
    line = {
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
        "body": b64encode(request.body).decode(),
    }
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def _read(line: dict[str, str]) -> Request:
    headers = line["headers"]
    assert isinstance(headers, dict)
    return Request(line["method"], line["path"], headers, b64decode(line["body"]))


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a connection may be idle, or in the middle of a slow answer
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        if self.tls is not None:  # shakes hands in the connection's own thread
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: a client may go at any time, and one that trusts nobody does so in its TLS."""


class _Listener6(_Listener):
    """At `::` for IPv4 too."""

    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.receiver.note_connection()
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = {name.lower() for name in self.headers}
        headers = {name: ", ".join(self.headers.get_all(name, [])) for name in sorted(names)}
        answer = self.receiver.take(Request(self.command, self.path, headers, body))
        if answer.after_s and self.receiver.ended.wait(answer.after_s):
            self.close_connection = True
        elif answer.reset:
            self._reset()
        else:
            self._answer(answer)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Quiet: what came is in `requests`."""

    def _answer(self, answer: Answer) -> None:
        for piece in _pieces(answer):
            try:
                self.wfile.write(piece)
                self.wfile.flush()
            except OSError:  # the client has gone
                self.close_connection = True
                return
            if answer.a_byte_every_s and self.receiver.ended.wait(answer.a_byte_every_s):
                self.close_connection = True
                return
        self.close_connection = self.close_connection or answer.raw is not None

    def _reset(self) -> None:
        """An RST in the place of an answer."""
        self.close_connection = True
        with suppress(OSError):
            at_once = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()


def _pieces(answer: Answer) -> list[bytes]:
    if answer.raw is not None:
        return [answer.raw]
    head = [f"HTTP/1.1 {answer.status} As-Told", f"Content-Length: {len(answer.body)}"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    whole = "\r\n".join([*head, "", ""]).encode("latin-1") + answer.body
    return [bytes([byte]) for byte in whole] if answer.a_byte_every_s else [whole]


def main() -> None:
    """Receive until the process is ended."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--store", type=Path, required=True, help="a line of JSON a request")
    options.add_argument("--status", type=int, default=200, help="what every request is answered")
    options.add_argument("--after", type=float, default=0.0, help="seconds before each answer")
    given = options.parse_args()
    answer = Answer(given.status, after_s=given.after)
    at = ("127.0.0.1", given.port)
    with (
        receiving(lambda _: answer, at=at, store=given.store) as receiver,
        suppress(KeyboardInterrupt),
    ):
        print(receiver.url, flush=True)
        receiver.ended.wait()


if __name__ == "__main__":
    main()
