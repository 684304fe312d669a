"""
A network between two programs that can be broken: each link is a TCP proxy on loopback, whose
state decides what becomes of the bytes in either direction, of connections that are there too.

Its limits: what is lost here was acknowledged to the sender's kernel, as behind a router that
drops; a connection that is cut is reset; there is no loss inside a stream.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_CHUNK = 65536
_LOOK_S = 0.05


@dataclass(frozen=True)
class State:
    """What a link does to bytes."""

    silent_there: bool = False
    """Nothing gets to the server."""
    silent_back: bool = False
    """Nothing gets to the client: the server acts, and nobody learns of it."""
    bytes_at_once: int = _CHUNK
    bytes_per_s: float | None = None
    late_s: float = 0.0
    """How long each piece is on its way."""
    altered: Callable[[bytes], bytes] | None = None
    """What becomes of a piece on its way back."""


WELL = State()
SILENT = State(silent_there=True, silent_back=True)
NO_ANSWERS = State(silent_back=True)


class Link:
    """From a port of its own to a server."""

    def __init__(self, server: int, *, at: str = "127.0.0.1") -> None:
        self.server = server
        self.state = WELL
        self.held_back = 0
        """Bytes that did not get through: that the fault bit."""
        self.cut_connections = 0
        self._ended = False
        self._sockets: set[socket.socket] = set()
        self._turn = threading.Lock()
        self._listener = socket.create_server((at, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        with self._turn:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            self.cut_connections += 1
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._ended = True
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while self.state.silent_there and not self._ended:
                time.sleep(_LOOK_S)  # a router that drops: the connection comes about later
            with socket.create_connection(("127.0.0.1", self.server)) as server:
                with self._turn:
                    self._sockets |= {client, server}
                there = threading.Thread(
                    target=self._move,
                    args=(client, server, lambda: self.state.silent_there),
                    kwargs={"back": False},
                    daemon=True,
                )
                there.start()
                self._move(server, client, lambda: self.state.silent_back, back=True)
                there.join()
                with self._turn:
                    self._sockets -= {client, server}

    def _move(
        self,
        source: socket.socket,
        target: socket.socket,
        silent: Callable[[], bool],
        *,
        back: bool,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._pass(data, target, silent, back=back)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass(
        self, data: bytes, target: socket.socket, silent: Callable[[], bool], *, back: bool
    ) -> None:
        while silent() and not self._ended:
            self.held_back += len(data)
            time.sleep(_LOOK_S)
        state = self.state
        if back and state.altered is not None:
            data = state.altered(data)
        for start in range(0, len(data), state.bytes_at_once):
            piece = data[start : start + state.bytes_at_once]
            if state.late_s or state.bytes_per_s:
                self.held_back += len(piece)
                time.sleep(state.late_s + len(piece) / (state.bytes_per_s or float("inf")))
            target.sendall(piece)


class Network:
    """The links to several servers, broken and mended together."""

    def __init__(self, *servers: int) -> None:
        self.links = [Link(server) for server in servers]

    @property
    def held_back(self) -> int:
        return sum(link.held_back for link in self.links)

    @contextmanager
    def broken(self, state: State) -> Iterator[None]:
        """While it lasts, bytes that are held back wait; at the end they come through."""
        for link in self.links:
            link.state = state
        try:
            yield
        finally:
            for link in self.links:
                link.state = WELL

    def cut(self) -> None:
        for link in self.links:
            link.cut()

    def end(self) -> None:
        for link in self.links:
            link.end()
