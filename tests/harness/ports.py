"""
Ports for servers that a test ends and starts again on the same one, or knows something by.

They lie below those that the kernel gives to outgoing connections (ip(7), ip_local_port_range): a
port from there may be somebody's when the server comes back. None is given twice.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

_LOWEST = 10_000


def free_ports(number: int) -> list[int]:
    """So many ports of 127.0.0.1, each another, on which nobody listens."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < number:
            port = next(_candidates)
            one = held.enter_context(socket.socket())
            with suppress(OSError):  # somebody has it
                one.bind(("127.0.0.1", port))
                found.append(port)
    return found


def free_port() -> int:
    [port] = free_ports(1)
    return port


def _in_any_order() -> Iterator[int]:
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(_LOWEST, outgoing)
    yield from random.SystemRandom().sample(ports, len(ports))


_candidates = _in_any_order()
