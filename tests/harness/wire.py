"""
HTTP by hand, for what no client library would send.
"""

import json
import socket
from dataclasses import dataclass
from typing import Any

from running import Dev


@dataclass(frozen=True)
class Reply:
    """What came back on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        return json.loads(self.body)


def connect(dev: Dev) -> socket.socket:
    return socket.create_connection(("127.0.0.1", dev.port), timeout=30)


def exchange(dev: Dev, raw: bytes) -> Reply:
    """Send bytes and read one whole answer."""
    with connect(dev) as connection:
        connection.sendall(raw)
        return receive(connection)


def receive(connection: socket.socket) -> Reply:
    with connection.makefile("rb") as stream:
        status = stream.readline()
        assert status, "the connection was closed without an answer"
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
        return Reply(int(status.split()[1]), headers, body)


def request(path: str, *headers: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
