"""
The connection to Couchbase that the sinks of a process share: its credentials, its faults in words,
and another one in its place when it is of no more use or the password has changed.

Three things about the SDK decide how it is used. What it was given to log in with is fixed when it
connects: for another password there is another cluster object, connected first, then swapped in,
and the old one is closed when its calls have ended. A call that is cancelled breaks the SDK's own
callback, and is done all the same: so callers are cancelled, and calls never. And bytes that are no
answer leave a connection hanging for ever: after a fault that may be of the connection, it is
replaced.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from acouchbase.bucket import AsyncBucket
from acouchbase.cluster import AsyncCluster
from acouchbase.collection import AsyncCollection
from couchbase.auth import PasswordAuthenticator
from couchbase.durability import DurabilityLevel, ServerDurability
from couchbase.exceptions import CouchbaseException
from couchbase.options import ClusterOptions, ClusterTimeoutOptions

from trackmate_consume.backoff import backoff_s
from trackmate_consume.sink import Down
from trackmate_consume.sinks.couchbase_faults import (
    EXISTS,
    NOT_FOUND,
    Place,
    Unknown,
    fault_of,
    is_lost,
    not_connected,
)
from trackmate_consume.sinks.couchbase_reach import impostors, why_not
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.names import events_collection

_CONNECT_S = 10.0
_ANSWER_S = 10.0  # that a write may take, made durable; a server gives it 30 s at most
_BEYOND_S = 2.0  # that, where the SDK does not keep its own limit
_LOOK_S = 1.0  # between looks at the password file
_AT_ONCE = 64  # calls under way, of all sinks
_TRIES = 5  # of a call that ends at once and nobody knows how
_LONGEST_WAIT_S = 1.0  # between them

_PROOFS = ["SCRAM-SHA512", "SCRAM-SHA256", "SCRAM-SHA1"]
"""Of the password, none of which shows it to whoever asks; with TLS the SDK would send it."""

_log = logging.getLogger("trackmate.consume")

Result = TypeVar("Result")
Call = Callable[[AsyncCollection], Awaitable[Result]]

_LEVELS = {
    "None": None,
    "Majority": DurabilityLevel.MAJORITY,
    "MajorityAndPersistActive": DurabilityLevel.MAJORITY_AND_PERSIST_TO_ACTIVE,
    "PersistToMajority": DurabilityLevel.PERSIST_TO_MAJORITY,
}


class Taken(Exception):  # noqa: N818 - what the key is
    """There is a document under the key."""


class Missing(Exception):  # noqa: N818 - what the document is
    """There is no document under the key."""


_ABOUT_KEYS = {EXISTS: Taken, NOT_FOUND: Missing}


@dataclass(eq=False)
class _Session:
    """One cluster object, and what is under way on it."""

    cluster: AsyncCluster
    bucket: AsyncBucket
    password: str
    suspect: bool = False
    calls: set[asyncio.Future[Any]] = field(default_factory=set)

    async def end(self, *, within_s: float) -> None:
        """Close it once its calls have ended."""
        if self.calls:
            await asyncio.wait(self.calls, timeout=within_s)
        await self.cluster.close()


class CouchbaseCluster:
    """
    One affiliate's bucket or scope. `open` before anything else; `close` by whoever made it, once
    the sinks are closed.
    """

    def __init__(
        self,
        settings: Couchbase,
        *,
        connect_s: float = _CONNECT_S,
        answer_s: float = _ANSWER_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._settings = settings
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._look_s = look_s
        self._session: _Session | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[_Session] | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._look_at = 0.0
        self._said = ""

    async def open(self) -> None:
        """Connect, or see that there is a connection. Raises Down."""
        await self._current()

    async def close(self) -> None:
        """Wait for what is under way, and let go of the connections."""
        if self._renewing is not None:
            await asyncio.wait([self._renewing])
        session, self._session = self._session, None
        if session is not None:
            self._end(session)
        await asyncio.gather(*self._ending)

    @property
    def write_options(self) -> dict[str, Any]:
        """What every write is asked for with."""
        level = _LEVELS[self._settings.durability]
        expiry_s = self._settings.expiry_s
        return {
            "timeout": timedelta(seconds=self._answer_s),
            **({"durability": ServerDurability(level)} if level is not None else {}),
            **({"expiry": timedelta(seconds=expiry_s)} if expiry_s is not None else {}),
        }

    @property
    def read_options(self) -> dict[str, Any]:
        return {"timeout": timedelta(seconds=self._answer_s)}

    @property
    def events(self) -> str:
        """The collection of the built-in pipeline."""
        return events_collection(self._settings.scope)

    def place(self, collection: str) -> Place:
        one = self._settings
        return Place(one.username, one.bucket, one.scope, collection, one.durability)

    async def call(self, collection: str, call: Call[Result]) -> Result:
        """
        Do one thing in a collection that may be repeated. Raises Taken, Missing, Down and Refused.

        Where the caller is cancelled, the call goes on to its end.
        """
        tries = 1
        while True:
            try:
                return await self._called(collection, call)
            except Unknown:
                if tries == _TRIES:
                    raise
            await asyncio.sleep(backoff_s(tries, longest_s=_LONGEST_WAIT_S))
            tries += 1

    async def _called(self, collection: str, call: Call[Result]) -> Result:
        async with self._slots:
            session = await self._current()
            where = session.bucket.scope(self._settings.scope).collection(collection)
            under_way = asyncio.ensure_future(call(where))
            session.calls.add(under_way)
            under_way.add_done_callback(session.calls.discard)
            under_way.add_done_callback(_retrieved)
            done, _ = await asyncio.wait([under_way], timeout=self._answer_s + _BEYOND_S)
            if not done:
                session.suspect = True
                raise Down("no answer in time")
            try:
                return under_way.result()
            except CouchbaseException as fault:
                raise self._in_words(session, fault, collection) from None

    def _in_words(self, session: _Session, fault: CouchbaseException, collection: str) -> Exception:
        code, reasons = _told(fault)
        if code in _ABOUT_KEYS:
            return _ABOUT_KEYS[code]()
        if is_lost(code, reasons):
            session.suspect = True
        name = type(fault).__name__
        return fault_of(code, self.place(collection), reasons=reasons, name=name)

    # connections

    async def _current(self) -> _Session:
        """
        The connection to use. One that works is used on while another is made for a new password;
        for one that does not, everybody waits for the same attempt. Raises Down.
        """
        usable = self._usable
        if usable is None:
            return await asyncio.shield(self._renewal())
        if time.monotonic() >= self._look_at:
            self._renewal()
        return usable

    def _renewal(self) -> asyncio.Task[_Session]:
        """The one that is under way, or begun now."""
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
            self._renewing.add_done_callback(self._renewed)
        return self._renewing

    @property
    def _usable(self) -> _Session | None:
        return None if self._session is None or self._session.suspect else self._session

    async def _renew(self) -> _Session:
        """Look at the password, and connect with it where it is new. Raises Down."""
        self._look_at = time.monotonic() + self._look_s
        before = self._usable
        try:
            password = await asyncio.to_thread(self._password)
            if before is not None and password == before.password:
                return before
            made = await self._connect(password)
        except Down as fault:
            if before is None:
                raise
            self._say(str(fault))
            return before
        self._said = ""
        replaced, self._session = self._session, made
        if replaced is not None:
            self._end(replaced)
        return made

    def _say(self, error: str) -> None:
        """Once, and not at each look."""
        if error != self._said:
            _log.warning("the old password goes on", extra={"fields": {"error": error}})
            self._said = error

    def _renewed(self, renewing: asyncio.Task[_Session]) -> None:
        self._renewing = None
        _retrieved(renewing)

    def _end(self, session: _Session) -> None:
        ending = asyncio.create_task(session.end(within_s=self._answer_s + _BEYOND_S))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _password(self) -> str:
        """Raises Down."""
        path = Path(self._settings.password_file)
        try:
            return path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "it is not text"
            raise Down(f"the password in {str(path)!r} cannot be read: {why}") from None

    async def _connect(self, password: str) -> _Session:
        one = self._settings
        if strangers := await impostors(one.connection_string, one.ca_file):
            raise Down(strangers)
        login = PasswordAuthenticator(
            one.username,
            password,
            cert_path=one.ca_file,
            allowed_sasl_mechanisms=_PROOFS,
        )
        within = timedelta(seconds=self._connect_s)
        timeouts = ClusterTimeoutOptions(bootstrap_timeout=within, resolve_timeout=within)
        options = ClusterOptions(
            login,
            timeout_options=timeouts,
            enable_tracing=False,  # both write to the log every few seconds
            enable_metrics=False,
        )
        try:
            cluster = await AsyncCluster.connect(one.connection_string, options)
        except CouchbaseException as fault:
            raise await self._not_connected(fault) from None
        try:
            bucket = cluster.bucket(one.bucket)
            await bucket.on_connect()
        except CouchbaseException as fault:
            await cluster.close()
            raise await self._not_connected(fault) from None
        return _Session(cluster, bucket, password)

    async def _not_connected(self, fault: CouchbaseException) -> Down:
        one = self._settings
        code, _ = _told(fault)
        said = not_connected(code, self.place(""), one.password_file)
        return Down(said or await why_not(one.connection_string, one.ca_file))


def _told(fault: CouchbaseException) -> tuple[int, frozenset[str]]:
    """A fault's number, and the reasons that the SDK repeated for."""
    try:
        context = fault.error_context
        return fault.error_code or 0, frozenset(getattr(context, "retry_reasons", None) or ())
    except AttributeError:  # what the SDK's half in Python raises by itself has neither
        return 0, frozenset()


def _retrieved(call: asyncio.Future[Any]) -> None:
    """What a call ended with is nobody's any more where its caller was cancelled."""
    if not call.cancelled():
        call.exception()
