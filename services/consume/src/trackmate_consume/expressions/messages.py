"""
What the pipeline and its child say to each other: msgpack behind four bytes of length.

The child answers a `Job` with nothing (an empty frame) once it is confined, and with a `Compiled`
for each expression; a `Batch` with lists of `Answer`, in order. An empty list says that the first
event without an answer has passed the filter and is in the transform.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """What one event may cost."""

    cpu_s: float = 0.1
    """Of CPU time, filter and transform together."""
    silence_s: float = 2.0
    """How long the child may say nothing; a machine may be busy, so an event that it seems to hang
    on gets five times as long, alone, before it is put aside."""
    memory: int = 256 << 20
    """Bytes of the child's address space."""
    times_larger: int = 4
    beyond: int = 64 << 10
    """Its documents may be so many times the event and so many bytes more, in all."""
    compile_cpu_s: float = 2.0
    start_s: float = 60.0
    """Until the child is there."""


class Job(msgspec.Struct, array_like=True):
    filter: str | None
    """None where the child has no filter to run."""
    transform: str | None
    limits: Limits


class Compiled(msgspec.Struct, array_like=True):
    """How one expression was compiled: the filter first, then the transform."""

    fault: str = ""
    """Why it cannot run, with the position."""
    tree: bytes = b""
    """The filter, as `tree.read` takes it."""


Event = tuple[bytes, bytes | None]
"""The JSON text, and `tm` where an expression mentions it."""


class Batch(msgspec.Struct, array_like=True):
    events: list[Event]
    careful: bool = False
    """Answer each event at once, so that a death can be laid to the right one."""


class Answer(msgspec.Struct, array_like=True):
    """What became of one event."""

    documents: list[bytes] = []
    """What the transform made, as JSON texts."""
    reason: str = ""
    """`false` or `missing` where it is filtered, else as of `program.Dead`."""
    detail: str = ""


job_decoder = msgspec.msgpack.Decoder(Job)
batch_decoder = msgspec.msgpack.Decoder(Batch)
compiled_decoder = msgspec.msgpack.Decoder(Compiled)
answers_decoder = msgspec.msgpack.Decoder(list[Answer])
_encode = msgspec.msgpack.Encoder().encode


def frame(message: object) -> bytes:
    """
    >>> frame([])
    b'\\x01\\x00\\x00\\x00\\x90'
    """
    content = _encode(message)
    return len(content).to_bytes(4, "little") + content
