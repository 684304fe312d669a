"""
What the data service does with documents: read, add, set, replace, delete, and the few
sub-document operations that reach extended attributes.
"""

import itertools
import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from couchbase_standin.frames import Op, Request, Response, Status
from couchbase_standin.state import Bucket, Collection, Stored

LARGEST_VALUE = 20 << 20
LONGEST_KEY = 250
_RELATIVE = 30 * 86_400  # seconds: an expiry beyond is a time since 1970
_JSON = 1  # as a datatype
_JSON_FLAGS = 0x02000000  # as clients mark it
_EXPIRY = struct.Struct(">I")

_GET, _ADD, _UPSERT = 0xC5, 0xC7, 0xC8
_SET_WHOLE = 0x01
_OF_XATTR = 0x04
_MAKE, _ADD_ONLY = 0x01, 0x02

_changes = itertools.count(1 << 40)
_sequence = itertools.count(1)


class Asked(NamedTuple):
    """A request about a document."""

    request: Request
    bucket: Bucket
    collection: Collection
    key: bytes

    def found(self) -> Stored | None:
        there = self.collection.documents.get(self.key)
        if there and there.expires_at and there.expires_at <= time.time():
            del self.collection.documents[self.key]
            return None
        return there


def get(asked: Asked) -> Response:
    there = asked.found()
    if there is None:
        return Response(Status.NOT_FOUND)
    flags = struct.pack(">I", there.flags)
    return Response(value=there.value, extras=flags, cas=there.cas, datatype=there.datatype)


def store(asked: Asked) -> Response:
    """ADD, SET and REPLACE."""
    request, there = asked.request, asked.found()
    refused = _refusal(request, there, add=request.op == Op.ADD, only=request.op == Op.REPLACE)
    if refused or len(request.value) > LARGEST_VALUE:
        return Response(refused or Status.TOO_BIG)
    flags, expiry = struct.unpack(">II", request.extras)
    made = Stored(request.value, flags, next(_changes), _datatype(request.value))
    return _kept(asked, made, expiry)


def delete(asked: Asked) -> Response:
    request, there = asked.request, asked.found()
    refused = _refusal(request, there, add=False, only=True)
    if refused:
        return Response(refused)
    del asked.collection.documents[asked.key]
    return Response(extras=_token(), cas=next(_changes))


def look_up(asked: Asked) -> Response:
    """Several paths of one document."""
    there = asked.found()
    if there is None:
        return Response(Status.NOT_FOUND)
    results = [_looked_up(there, spec) for spec in _lookups(asked.request.value)]
    failed = any(status for status, _ in results)
    body = b"".join(struct.pack(">HI", status, len(value)) + value for status, value in results)
    return Response(Status.SOME_PATHS_FAILED if failed else Status.OK, body, cas=there.cas)


def mutate(asked: Asked) -> Response:
    """Extended attributes, and the whole document with them."""
    request, there = asked.request, asked.found()
    expiry, flags = _mutation_extras(request.extras)
    add, make = bool(flags & _ADD_ONLY), bool(flags & _MAKE)
    refused = _refusal(request, there, add=add, only=not (add or make))
    if refused:
        return Response(refused)
    made = Stored(b"{}", _JSON_FLAGS, next(_changes), _JSON)
    if there is not None:
        made.value, made.flags, made.xattrs = there.value, there.flags, dict(there.xattrs)
    for spec in _mutations(request.value):
        if spec.op == _SET_WHOLE:
            made.value = spec.value
        elif spec.op in {_ADD, _UPSERT} and spec.flags & _OF_XATTR:
            made.xattrs[spec.path] = spec.value
        else:
            return Response(Status.UNKNOWN_COMMAND)
    if len(made.value) > LARGEST_VALUE:
        return Response(Status.TOO_BIG)
    return _kept(asked, made, expiry)


ACTIONS: dict[int, Callable[[Asked], Response]] = {
    Op.GET: get,
    Op.ADD: store,
    Op.SET: store,
    Op.REPLACE: store,
    Op.DELETE: delete,
    Op.SUBDOC_LOOKUP: look_up,
    Op.SUBDOC_MUTATION: mutate,
}
READS = frozenset({Op.GET, Op.SUBDOC_LOOKUP})


def _refusal(request: Request, there: Stored | None, *, add: bool, only: bool) -> Status | None:
    """`add`: where nothing is; `only`: where something is."""
    if there is None:
        return Status.NOT_FOUND if only or request.cas else None
    if add or request.cas not in (0, there.cas):
        return Status.EXISTS
    return None


def _kept(asked: Asked, made: Stored, expiry: int) -> Response:
    most = asked.bucket.max_ttl
    now = int(time.time())
    if expiry:
        made.expires_at = expiry if expiry > _RELATIVE else now + expiry
    if most:
        made.expires_at = min(made.expires_at or now + most, now + most)
    asked.collection.documents[asked.key] = made
    return Response(extras=_token(), cas=made.cas)


def _token() -> bytes:
    """By which a client names the change later: the vBucket's id and the change's number."""
    return struct.pack(">QQ", 1, next(_sequence))


def _datatype(value: bytes) -> int:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return 0
    return _JSON


class _Spec(NamedTuple):
    op: int
    flags: int
    path: str
    value: bytes = b""


def _lookups(body: bytes) -> Iterator[_Spec]:
    at = 0
    while at < len(body):
        op, flags, length = struct.unpack_from(">BBH", body, at)
        at += 4
        yield _Spec(op, flags, body[at : at + length].decode())
        at += length


def _mutations(body: bytes) -> Iterator[_Spec]:
    at = 0
    while at < len(body):
        op, flags, path, value = struct.unpack_from(">BBHI", body, at)
        at += 8
        text = body[at : at + path].decode()
        at += path
        yield _Spec(op, flags, text, body[at : at + value])
        at += value


def _looked_up(there: Stored, spec: _Spec) -> tuple[int, bytes]:
    if spec.op != _GET or not spec.flags & _OF_XATTR:
        return Status.UNKNOWN_COMMAND, b""
    virtual = {"$document.exptime": b"%d" % there.expires_at}
    value = (virtual | there.xattrs).get(spec.path)
    return (Status.PATH_NOT_FOUND, b"") if value is None else (Status.OK, value)


def _mutation_extras(extras: bytes) -> tuple[int, int]:
    """The expiry and the flags; each may be missing."""
    has_expiry, has_flags = len(extras) >= _EXPIRY.size, len(extras) % 2
    return _EXPIRY.unpack_from(extras)[0] if has_expiry else 0, extras[-1] if has_flags else 0
