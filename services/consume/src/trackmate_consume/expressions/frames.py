"""
What the parent and the child say to each other, as length-prefixed MessagePack. Pure.
"""

import struct
from typing import Any

import msgspec

LENGTH = struct.Struct(">I")


class Job(msgspec.Struct, array_like=True):
    """The first thing a child is told."""

    filter: str | None
    jq: str | None
    cpu_s: float
    """For an event."""
    compile_cpu_s: float
    memory_bytes: int
    """Beyond what the child takes when it is ready."""


class Task(msgspec.Struct, array_like=True):
    """An event."""

    event: bytes
    """JSON text."""
    tm: bytes
    """JSON text; empty where no expression names it."""


class Answer(msgspec.Struct, array_like=True):
    """
    What became of it: `ready` or `misspelt` of a job; `made`, `filtered` or `dead` of an event;
    `passed` before `made` or `dead`, when the filter said true and the transform begins.
    """

    kind: str
    reason: str = ""
    """Of `misspelt` the path."""
    detail: str = ""
    documents: list[bytes] = []


def frame(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body
