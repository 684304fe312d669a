"""
Frames of the memcached binary protocol, as Couchbase speaks it: the header of 24 bytes, the
"alternative" magics whose header has room for frame info (the durability of a write), and keys that
begin with the id of their collection in LEB128.

Source: kv_engine, docs/BinaryProtocol.md and docs/Collections.md.
"""

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

_HEADER = struct.Struct(">BBHBBHIIQ")
_REQUEST, _FLEXIBLE_REQUEST = 0x80, 0x08
_RESPONSE = 0x81
_LARGEST = 21 << 20  # of a body: a value of 20 MiB, its key and extras
_DURABILITY = 1  # the id of the frame info that has it


class Op(IntEnum):
    """What is asked, by its code."""

    GET = 0x00
    SET = 0x01
    ADD = 0x02
    REPLACE = 0x03
    DELETE = 0x04
    NOOP = 0x0A
    VERSION = 0x0B
    HELLO = 0x1F
    SASL_LIST = 0x20
    SASL_AUTH = 0x21
    SASL_STEP = 0x22
    SELECT_BUCKET = 0x89
    GET_CLUSTER_CONFIG = 0xB5
    GET_MANIFEST = 0xBA
    GET_COLLECTION_ID = 0xBB
    SUBDOC_LOOKUP = 0xD0
    SUBDOC_MUTATION = 0xD1
    GET_ERROR_MAP = 0xFE


class Status(IntEnum):
    """What is answered."""

    OK = 0x00
    NOT_FOUND = 0x01
    EXISTS = 0x02
    TOO_BIG = 0x03
    INVALID = 0x04
    NOT_MY_VBUCKET = 0x07
    NO_BUCKET = 0x08
    AUTH_FAILED = 0x20
    AUTH_GOES_ON = 0x21
    NO_ACCESS = 0x24
    UNKNOWN_COMMAND = 0x81
    OUT_OF_MEMORY = 0x82
    INTERNAL = 0x84
    BUSY = 0x85
    TEMPORARY = 0x86
    UNKNOWN_COLLECTION = 0x88
    UNKNOWN_SCOPE = 0x8C
    DURABILITY_INVALID = 0xA0
    DURABILITY_IMPOSSIBLE = 0xA1
    SYNC_WRITE_IN_PROGRESS = 0xA2
    SYNC_WRITE_AMBIGUOUS = 0xA3
    PATH_NOT_FOUND = 0xC0
    SOME_PATHS_FAILED = 0xCC


class Malformed(Exception):  # noqa: N818 - what the bytes are
    """Bytes that are no request."""


class Durability(NamedTuple):
    """What a write asks for before it is answered."""

    level: int
    """1 majority, 2 majority and persist on the active node, 3 persist to a majority."""


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    op: int
    datatype: int
    vbucket: int
    opaque: int
    cas: int
    extras: bytes
    key: bytes
    value: bytes
    durability: Durability | None = None


@dataclass(frozen=True)
class Response:
    """An answer on its way."""

    status: Status = Status.OK
    value: bytes = b""
    extras: bytes = b""
    key: bytes = b""
    cas: int = 0
    datatype: int = 0

    def to(self, request: Request) -> bytes:
        """The frame that answers a request."""
        body = self.extras + self.key + self.value
        return (
            _HEADER.pack(
                _RESPONSE,
                request.op,
                len(self.key),
                len(self.extras),
                self.datatype,
                self.status,
                len(body),
                request.opaque,
                self.cas,
            )
            + body
        )


async def next_request(reader: asyncio.StreamReader) -> Request:
    """Raises Malformed, and IncompleteReadError at the end of the connection."""
    header = await reader.readexactly(_HEADER.size)
    magic, op, keys, extras, datatype, vbucket, length, opaque, cas = _HEADER.unpack(header)
    framing = 0
    if magic == _FLEXIBLE_REQUEST:
        framing, keys = keys >> 8, keys & 0xFF
    elif magic != _REQUEST:
        raise Malformed(f"a request cannot begin with {magic:#x}")
    if length > _LARGEST or framing + extras + keys > length:
        raise Malformed(f"a body of {length} bytes")
    body = await reader.readexactly(length)
    after_framing, after_extras = framing, framing + extras
    return Request(
        op,
        datatype,
        vbucket,
        opaque,
        cas,
        body[after_framing:after_extras],
        body[after_extras : after_extras + keys],
        body[after_extras + keys :],
        _durability(body[:framing]),
    )


def _durability(framing: bytes) -> Durability | None:
    at = 0
    while at < len(framing):
        kind, size = framing[at] >> 4, framing[at] & 0x0F
        if kind == _DURABILITY:
            return Durability(framing[at + 1])
        at += 1 + size
    return None


def collection_of(key: bytes) -> tuple[int, bytes]:
    """
    The id of the collection, and the key without it.

    >>> collection_of(bytes([0x88, 0x01]) + b"k")
    (136, b'k')
    """
    number, shift = 0, 0
    for at, octet in enumerate(key):
        number |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return number, key[at + 1 :]
        shift += 7
    raise Malformed("a key without a collection")
