"""
The data service: one connection of a client after the other's hello, log-in and choice of a bucket,
then documents. Who may do what is decided at every request.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NoReturn

from couchbase_standin import sasl
from couchbase_standin.access import Right, may, may_somewhere
from couchbase_standin.documents import ACTIONS, LONGEST_KEY, READS, Asked
from couchbase_standin.faults import Fault, Faults
from couchbase_standin.frames import (
    Malformed,
    Op,
    Request,
    Response,
    Status,
    collection_of,
    next_request,
)
from couchbase_standin.state import DEFAULT, LEVELS, Bucket, State, User
from couchbase_standin.topology import Ports, configuration

_FEATURES = frozenset(
    {
        0x03,  # TCP_NODELAY
        0x04,  # mutation tokens
        0x06,  # extended attributes
        0x07,  # errors with words
        0x08,  # a bucket is chosen
        0x0B,  # JSON is marked
        0x0E,  # answers in any order
        0x10,  # frame info
        0x11,  # durable writes
        0x12,  # collections
    }
)
_ERROR_MAP = json.dumps({"version": 2, "revision": 1, "errors": {}}).encode()
_TOO_MANY_REPLICAS = 3  # for a durable write, as the documentation says
_GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4

_Answers = Mapping[int, Callable[[Request], Response]]


class DataService:
    """What all connections share."""

    def __init__(self, state: State, ports: Ports, faults: Faults) -> None:
        self.state = state
        self.ports = ports
        self.faults = faults
        self.logins: Counter[str] = Counter()
        """By user, those that were let in; those that were not under `""`."""
        self.mechanisms: Counter[str] = Counter()
        """By which the password was proved, or sent."""
        self.open: Counter[str] = Counter()
        """Connections by the user that is logged in."""
        self.durabilities: Counter[str] = Counter()
        """What writes asked for, by level."""
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self._connections[task] = writer
        session = Session(self, writer)
        try:
            await session.run(reader)
        except (Malformed, ConnectionError, asyncio.IncompleteReadError, _Dropped):
            pass
        finally:
            session.end()
            writer.close()
            try:
                with suppress(OSError):
                    await writer.wait_closed()  # with TLS, until the other side has said so too
            finally:
                del self._connections[task]

    async def drop_all(self) -> None:
        """Close every connection without a word."""
        connections = dict(self._connections)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)


class _Dropped(Exception):  # noqa: N818 - what happens to the connection
    """The connection is to be closed."""


class Session:
    """One connection."""

    def __init__(self, service: DataService, writer: asyncio.StreamWriter) -> None:
        self._service = service
        self._writer = writer
        self._user_id = ""
        self._bucket_name = ""
        self._scram: sasl.Scram | None = None
        self._collections = False
        self._late: set[asyncio.Task[None]] = set()

    async def run(self, reader: asyncio.StreamReader) -> None:
        while True:
            request = await next_request(reader)
            fault = self._service.faults.of_op(request.op)
            if fault is None:
                self._send(request, self._answer(request))
            else:
                self._fail(request, fault)
            await self._writer.drain()

    def end(self) -> None:
        self._count_out()
        for task in self._late:
            task.cancel()

    def _send(self, request: Request, response: Response) -> None:
        if not self._writer.is_closing():
            self._writer.write(response.to(request))

    # faults

    def _fail(self, request: Request, fault: Fault) -> None:
        if fault.kind == "slow":
            task = asyncio.create_task(self._answer_later(request, fault.seconds))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return
        if fault.applied:
            done = self._answer(request)
            if done.status is not Status.OK:
                self._send(request, done)
                return
        if fault.kind == "answer":
            self._send(request, self._refusal(fault.status))
        elif fault.kind == "ambiguous":
            self._send(request, Response(Status.SYNC_WRITE_AMBIGUOUS))
        elif fault.kind == "garbage":
            self._writer.write(_GARBAGE)
        elif fault.kind == "drop":
            self._drop()

    def _refusal(self, status: Status) -> Response:
        """While a cluster rebalances, it says where things are now; here they always are."""
        if status is not Status.NOT_MY_VBUCKET:
            return Response(status)
        service = self._service
        return Response(status, configuration(service.state, service.ports, self._bucket))

    def _drop(self) -> NoReturn:
        self._writer.transport.abort()
        raise _Dropped

    async def _answer_later(self, request: Request, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._send(request, self._answer(request))

    # answers

    def _answer(self, request: Request) -> Response:
        if request.op in ACTIONS:
            return self._of_document(request)
        with suppress(sasl.Refused, KeyError, ValueError):
            return self._of_connection(request)
        self._service.logins[""] += 1
        return Response(Status.AUTH_FAILED)

    def _of_connection(self, request: Request) -> Response:
        answers: _Answers = {
            Op.HELLO: self._hello,
            Op.SASL_LIST: lambda _: Response(value=sasl.MECHANISMS),
            Op.SASL_AUTH: self._log_in,
            Op.SASL_STEP: self._step,
            Op.GET_ERROR_MAP: lambda _: Response(value=_ERROR_MAP, datatype=1),
            Op.NOOP: lambda _: Response(),
        }
        answers_after_login: _Answers = {
            Op.SELECT_BUCKET: self._select,
            Op.GET_CLUSTER_CONFIG: self._configuration,
            Op.GET_COLLECTION_ID: self._collection_id,
        }
        if request.op in answers:
            return answers[request.op](request)
        if request.op not in answers_after_login:
            return Response(Status.UNKNOWN_COMMAND)
        if self._user is None:
            return Response(Status.NO_ACCESS)
        return answers_after_login[request.op](request)

    @property
    def _user(self) -> User | None:
        return self._service.state.users.get(self._user_id)

    @property
    def _bucket(self) -> Bucket | None:
        return self._service.state.buckets.get(self._bucket_name)

    def _hello(self, request: Request) -> Response:
        count = len(request.value) // 2
        asked = struct.unpack(f">{count}H", request.value)
        taken = [feature for feature in asked if feature in _FEATURES]
        self._collections = 0x12 in taken
        return Response(value=struct.pack(f">{len(taken)}H", *taken))

    # logging in

    def _log_in(self, request: Request) -> Response:
        mechanism = request.key.decode()
        self._service.mechanisms[mechanism] += 1
        if mechanism == "PLAIN":
            self._let_in(sasl.plain(self._service.state.users, request.value))
            return Response()
        self._scram = sasl.Scram(self._service.state.users, mechanism, request.value)
        return Response(Status.AUTH_GOES_ON, self._scram.challenge)

    def _step(self, request: Request) -> Response:
        if self._scram is None:
            raise sasl.Refused
        user, proof = self._scram.finish(request.value)
        self._let_in(user)
        return Response(value=proof)

    def _count_out(self) -> None:
        if self._user_id:
            self._service.open[self._user_id] -= 1

    def _let_in(self, user: User) -> None:
        self._count_out()
        self._user_id = user.id
        self._service.open[user.id] += 1
        self._service.logins[user.id] += 1

    # buckets and collections

    def _configuration(self, request: Request) -> Response:
        service = self._service
        value = configuration(service.state, service.ports, self._bucket)
        return Response(value=value, datatype=1)

    def _select(self, request: Request) -> Response:
        """Who may do nothing in a bucket is not told whether it is there."""
        assert self._user
        name = request.key.decode()
        if not may_somewhere(self._user, name):
            return Response(Status.NO_ACCESS)
        if name not in self._service.state.buckets:
            return Response(Status.NOT_FOUND)
        self._bucket_name = name
        return Response()

    def _collection_id(self, request: Request) -> Response:
        path = (request.value or request.key).decode()
        scope, _, name = path.partition(".")
        scope, name = scope or DEFAULT, name or DEFAULT
        if self._bucket is None:
            return Response(Status.NO_BUCKET)
        assert self._user
        bucket = self._bucket
        if scope not in bucket.scopes or not may_somewhere(self._user, bucket.name, scope):
            return self._unknown(Status.UNKNOWN_SCOPE)
        found = bucket.scopes[scope].collections.get(name)
        if found is None or not may_somewhere(self._user, bucket.name, scope, name):
            return self._unknown(Status.UNKNOWN_COLLECTION)
        return Response(extras=struct.pack(">QI", bucket.manifest, found.id))

    def _unknown(self, status: Status) -> Response:
        manifest = f"{self._bucket.manifest:x}" if self._bucket else "0"
        return Response(status, json.dumps({"manifest_uid": manifest}).encode(), datatype=1)

    # documents

    def _of_document(self, request: Request) -> Response:
        placed = self._place(request)
        if isinstance(placed, Response):
            return placed
        if not 0 < len(placed.key) <= LONGEST_KEY:
            return Response(Status.INVALID)
        if request.durability and not self._can(request.durability.level, placed.bucket):
            return Response(Status.DURABILITY_INVALID)
        return ACTIONS[request.op](placed)

    def _place(self, request: Request) -> Asked | Response:
        """The document that is asked about, or why it may not be."""
        user, bucket = self._user, self._bucket
        if user is None or bucket is None:
            return Response(Status.NO_ACCESS if user is None else Status.NO_BUCKET)
        number, key = collection_of(request.key) if self._collections else (0, request.key)
        found = bucket.by_id(number)
        if found is None or not may_somewhere(user, bucket.name, *found[:2]):
            return self._unknown(Status.UNKNOWN_COLLECTION)
        right = Right.READ if request.op in READS else Right.WRITE
        if right is Right.WRITE:
            self._service.durabilities[
                LEVELS[request.durability.level if request.durability else 0]
            ] += 1
        if not may(user, right, bucket.name, *found[:2]):
            return Response(Status.NO_ACCESS)
        return Asked(request, bucket, found[2], key)

    def _can(self, level: int, bucket: Bucket) -> bool:
        return 0 < level < len(LEVELS) and bucket.replicas < _TOO_MANY_REPLICAS
