"""
The sink `postgres`: every document a row of one table, and every event there once.

The driver is asyncpg, which can be told everything: it looks into no file and no environment of the
pod, takes its TLS from Python, and connects to the address that the guard has judged (`guard.py`).
`docs/sinks-postgres.md` is the page for users.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network, IPv6Network
from os import strerror
from typing import Any

import asyncpg

from trackmate_consume.formats import Format
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Refused, Translated, Unfit
from trackmate_consume.sinks import postgres_string
from trackmate_consume.sinks.answers import Words
from trackmate_consume.sinks.guard import Blocked, Guard, Way
from trackmate_consume.sinks.postgres_faults import fault_of
from trackmate_consume.sinks.postgres_session import Session, session
from trackmate_consume.sinks.postgres_string import Connection, Host
from trackmate_consume.sinks.resolving import Lookup, judged, spelled_out, system_lookup
from trackmate_consume.sinks.secret import Secret, found
from trackmate_consume.sinks.trust import add_authority, certificate_words
from trackmate_contract.pipeline import Postgres

_PATH = "spec.sink.postgres.connectionSecretRef"
_TLS = "spec.sink.postgres.tls"
_SHOWN = "the host in the Secret"  # a string that was read wrong may have its password there
_LEAST_SECRET = 6  # characters: a shorter text is in every answer
_LANES = 4  # measured: half as much again near the server, nearly three times as much 10 ms away
_CONNECT_S = 10.0
_STATEMENT_S = 30.0
_BEYOND_S = 5.0  # that a server which stops a statement itself is given before it counts as lost

_TOLD = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver says; the last two are its own words, and the first the server's."""

_WAY = Way(
    "with sslmode=require, verify-ca or verify-full",
    (5432, 6432, 6543),  # PostgreSQL, PgBouncer, Supavisor
)


class PostgresSink:
    """
    Writes into one table. `allowed` are the networks that are reached beside public addresses;
    `secret` is asked at every `open`, and what it gives is kept in memory alone.
    """

    lanes = _LANES

    _to: Connection
    """There once it was opened, as are these."""
    _words: Words

    def __init__(
        self,
        spec: Postgres,
        form: Format,
        *,
        secret: Secret,
        allowed: Sequence[IPv4Network | IPv6Network] = (),
        lookup: Lookup = system_lookup,
        statement_s: float = _STATEMENT_S,
    ) -> None:
        """`statement_s`: how long a statement may take, waiting for locks included."""
        self._spec = spec
        self._as_json = not form.content_type.startswith("text/")
        self._secret = secret
        self._allowed = tuple(allowed)
        self._lookup = lookup
        self._statement_s = statement_s
        self._sessions: set[Session] = set()
        self._idle: list[Session] = []

    async def open(self) -> None:
        """Connect, and look at the table or make it."""
        await self.close()
        self._to = self._declared()
        password = self._to.password
        self._words = Words([password] if len(password) >= _LEAST_SECRET else [])
        for host in self._to.hosts:
            self._trust(host)
            self._judge_spelling(host)
        self._idle.append(await self._session())

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """Write everything in one transaction."""
        async with self._borrowed() as one:
            with self._faults_in_words():
                return await one.write(batch)

    async def close(self) -> None:
        """What is under way ends as Down."""
        sessions, self._sessions = self._sessions, set()
        idle, self._idle = self._idle, []
        for one in sessions.difference(idle):
            one.terminate()
        await asyncio.gather(*[one.close() for one in idle])

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Session]:
        """A connection for one; after a fault it is not used again."""
        one = await self._next()
        try:
            yield one
        except Refused:
            self._idle.append(one)
            raise
        except BaseException:
            self._sessions.discard(one)
            one.terminate()
            raise
        self._idle.append(one)

    async def _next(self) -> Session:
        while self._idle:
            one = self._idle.pop()
            if not one.closed:
                return one
            self._sessions.discard(one)
        try:
            return await self._session()
        except Unfit as fault:  # it was fit when it was opened
            raise Down(f"{fault.path}: {fault}") from None

    # what is declared

    def _declared(self) -> Connection:
        ref = self._spec.connection_secret_ref
        text = found(ref, self._secret, _PATH)
        try:
            return postgres_string.read(text)
        except postgres_string.Misspelt as fault:
            raise Unfit(
                _PATH,
                f"what Secret {ref.name!r} has under {ref.key!r} is not a connection string that "
                f"can be used: {fault}",
            ) from None

    def _guard(self, host: Host) -> Guard:
        encrypted = self._to.sslmode in postgres_string.ENCRYPTED
        return Guard(host.name, host.port, encrypted, self._allowed, _WAY, _SHOWN)

    def _judge_spelling(self, host: Host) -> None:
        """An address is known before it is resolved, and so is a way that none may be asked."""
        address = host.address or spelled_out(host.name)
        try:
            if address is not None:
                self._guard(host).check([address])
            elif not self._allowed:
                self._guard(host).check_way()
        except Blocked as fault:
            raise Unfit(_PATH, str(fault)) from None

    def _trust(self, host: Host) -> ssl.SSLContext | None:
        """None without TLS. The public authorities are trusted, and the declared one beside."""
        mode, tls = self._to.sslmode, self._spec.tls
        if tls is not None and mode not in postgres_string.VERIFIED:
            raise Unfit(
                _TLS,
                "the connection string asks for no certificate, so an authority is of no use; "
                "write sslmode=verify-full into it, or remove tls",
            )
        if mode == "disable":
            return None
        trust = _Named(ssl.PROTOCOL_TLS_CLIENT)
        trust.name = host.name
        trust.check_hostname = mode == "verify-full"
        if mode not in postgres_string.VERIFIED:
            trust.verify_mode = ssl.CERT_NONE
            return trust
        trust.load_default_certs()
        if tls is not None:
            add_authority(trust, tls.ca_secret_ref, self._secret, f"{_TLS}.caSecretRef")
        return trust

    # connections

    async def _session(self) -> Session:
        """A new connection, to the first host that takes one. Raises Down or Unfit."""
        faults = []
        for host in self._to.hosts:
            try:
                return await self._session_at(host)
            except Down as fault:
                faults.append(str(fault))
        if len(faults) == 1:
            raise Down(faults[0])
        raise Down("; ".join(f"host {number}: {fault}" for number, fault in enumerate(faults, 1)))

    async def _session_at(self, host: Host) -> Session:
        with self._faults_in_words():
            connection = await self._connected(host)
            try:
                made = await session(
                    connection,
                    self._spec.table,
                    as_json=self._as_json,
                    statement_s=self._statement_s,
                )
            except BaseException:
                connection.terminate()
                raise
        self._sessions.add(made)
        return made

    async def _connected(self, host: Host) -> asyncpg.Connection:
        guard = self._guard(host)
        if host.address is None:
            addresses = await judged(host.name, guard, self._lookup)
        else:
            addresses = [host.address]
            guard.check(addresses)
        trust = self._trust(host)
        ways = [trust, None] if self._to.sslmode == "prefer" else [trust]
        attempts = [(address, way) for address in addresses for way in ways]
        *first, (last_address, last_way) = attempts
        for address, way in first:
            try:
                return await self._connect(address, host.port, way)
            except OSError:  # no way to it, or no TLS there
                continue
        return await self._connect(last_address, host.port, last_way)

    async def _connect(
        self, address: str, port: int, trust: ssl.SSLContext | None
    ) -> asyncpg.Connection:
        try:
            return await self._shake_hands(address, port, trust)
        except (*_TOLD, OSError):
            raise
        except Exception:  # noqa: BLE001 - a stranger may answer anything
            raise Down("what was answered is not PostgreSQL") from None

    async def _shake_hands(self, address: str, port: int, trust: ssl.SSLContext | None) -> Any:
        return await asyncpg.connect(
            host=address,
            port=port,
            user=self._to.user,
            password=self._to.password,  # "" too: without any it would look for a file
            database=self._to.database,
            ssl=trust or False,
            direct_tls=False,
            gsslib="gssapi",
            server_settings=dict(self._to.settings),
            target_session_attrs="any",  # a standby is told by its table
            timeout=min(self._to.connect_s or _CONNECT_S, 6 * _CONNECT_S),
            command_timeout=self._statement_s + _BEYOND_S,
            statement_cache_size=0,  # a pooler may give each transaction another server process
        )

    # faults

    @contextmanager
    def _faults_in_words(self) -> Iterator[None]:
        try:
            yield
        except Blocked as fault:
            raise Down(str(fault)) from None
        except asyncpg.PostgresError as fault:
            sqlstate = str(fault.sqlstate)
            message, detail = self._visible(fault.message), self._visible(fault.detail)
            raise fault_of(sqlstate, message or self._visible(str(fault)), detail) from None
        except _TOLD as fault:
            raise Down(self._visible(str(fault))) from None
        except TimeoutError:
            raise Down("no answer in time") from None
        except ssl.SSLCertVerificationError as fault:
            raise Down(certificate_words(fault)) from None
        except OSError as fault:
            raise Down(_os_words(fault)) from None

    def _visible(self, text: str | None) -> str:
        return self._words.visible((text or "").encode("utf-8", "replace"))


class _Named(ssl.SSLContext):
    """Certificates are about the name, wherever the connection goes."""

    name: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as it is called
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.name, session)


def _os_words(fault: OSError) -> str:
    """Without addresses, which the driver's own words may have."""
    if isinstance(fault, ssl.SSLError):
        return "no TLS connection came about"
    if fault.errno:
        return f"cannot be connected to: {strerror(fault.errno).lower()}"
    return "the connection was closed, or TLS is asked for and the server has none"
