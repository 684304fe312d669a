"""
The sink `http`: a request for every document, or for every batch of them, to one URL.

What is sent may be sent again after a fault, always under the same `webhook-id`. No redirect is
followed, no cookie kept and no proxy of the environment used, and connections go where the guard
permits (`guard.py`). `docs/sinks-http.md` is the page for users.
"""

import io
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network
from os import strerror
from typing import NamedTuple

import aiohttp

from trackmate_consume.formats import Format, bodies
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Translated
from trackmate_consume.sinks.answers import Answer, bulk_fault_of, fault_of
from trackmate_consume.sinks.connecting import guarded
from trackmate_consume.sinks.destination import Destination, destination
from trackmate_consume.sinks.guard import Blocked
from trackmate_consume.sinks.rate import Rate
from trackmate_consume.sinks.resolving import Lookup, system_lookup
from trackmate_consume.sinks.secret import Secret
from trackmate_consume.sinks.trust import certificate_words
from trackmate_consume.sinks.webhook_ids import batch_id, event_id
from trackmate_contract.pipeline import Http

_MOST_READ = 64 << 10  # bytes of an answer
_LARGE = 1 << 20  # bytes of a body, from which aiohttp wants a stream


class _Request(NamedTuple):
    webhook_id: str
    body: bytes


class HttpSink:
    """
    Sends to one URL. `allowed` are the networks that are reached beside public addresses; `secret`
    is asked at every `open`, and what it gives is kept in memory alone.
    """

    _to: Destination
    """There once it was opened."""

    def __init__(
        self,
        spec: Http,
        form: Format,
        *,
        batched: bool,
        secret: Secret,
        allowed: Sequence[IPv4Network | IPv6Network] = (),
        lookup: Lookup = system_lookup,
    ) -> None:
        self.lanes = spec.concurrency
        self._spec = spec
        self._form = form
        self._batched = batched
        self._secret = secret
        self._allowed = allowed
        self._lookup = lookup
        self._rate = Rate(spec.requests_per_second)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Check what is declared. Nothing is connected to: a backend may be down."""
        await self.close()
        self._to = to = destination(self._spec, self._secret, self._allowed)
        self._session = aiohttp.ClientSession(
            connector=guarded(to.guard, self._lookup, connections=self.lanes, trust=to.trust),
            headers=self._headers(to.headers),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._spec.timeout_s),
        )

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """Send everything, one request after the other."""
        for request in self._requests(batch):
            await self._rate.wait()
            await self._send(request)
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """What is under way ends as Down."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _headers(self, declared: dict[str, str]) -> dict[str, str]:
        """Of every request; what is declared stands in the place of ours, in any case."""
        form = self._form
        ours = {
            "User-Agent": f"Trackmate/{version('trackmate-consume')}",
            "Content-Type": form.batch_type if self._batched else form.content_type,
            "Accept-Encoding": "identity",
        }
        names = {name.lower() for name in declared}
        return {name: value for name, value in ours.items() if name.lower() not in names} | declared

    def _requests(self, batch: Sequence[Translated]) -> Iterator[_Request]:
        if not self._batched:
            for translated in batch:
                for part, document in enumerate(translated.documents):
                    head = document.head and document.head + b"\r\n"
                    name = event_id(translated.record.id, part)
                    yield _Request(name, head + document.value)
            return
        ids = [translated.record.id for translated in batch]
        documents = [document for translated in batch for document in translated.documents]
        for part, body in enumerate(bodies(self._form, documents)):
            yield _Request(batch_id(ids, part), body)

    async def _send(self, request: _Request) -> None:
        """Return once it is delivered."""
        try:
            answer = await self._ask(request)
        except Blocked as fault:
            raise Down(str(fault)) from None
        except TimeoutError:
            raise Down(f"no whole answer within {self._spec.timeout_s} s") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Down(_in_words(fault)) from None
        if refusal := self._refusal_of(answer):
            raise refusal

    def _refusal_of(self, answer: Answer) -> Exception | None:
        words = self._to.words
        refusal = fault_of(answer, words, now=time.time())
        if refusal is None and self._to.bulk:
            return bulk_fault_of(answer, words)
        return refusal

    async def _ask(self, request: _Request) -> Answer:
        if self._session is None:
            raise Down("the sink is closed")
        name, body = request
        now = int(time.time())
        headers = {"webhook-id": name, "webhook-timestamp": str(now)}
        if self._to.signer is not None:
            headers["webhook-signature"] = self._to.signer.signatures(name, now, body)
        async with self._session.request(
            self._spec.method,
            self._to.url,
            data=body if len(body) < _LARGE else io.BytesIO(body),
            headers=headers,
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await _read(response))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body's beginning. A longer one costs the connection, and is not waited for."""
    read = bytearray()
    while chunk := await response.content.readany():
        read += chunk
        if len(read) > _MOST_READ:
            response.close()
            break
    return bytes(read[:_MOST_READ])


def _in_words(fault: aiohttp.ClientError | OSError) -> str:
    """Without addresses and URLs, which aiohttp's own words may have."""
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return certificate_words(fault.certificate_error)
    if isinstance(fault, aiohttp.ClientSSLError):
        return "no TLS connection came about; is this a port for https?"
    if isinstance(fault, aiohttp.ClientConnectorError):
        return f"cannot be connected to: {_os_words(fault.os_error)}"
    if isinstance(fault, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(fault, aiohttp.ClientResponseError):
        return "what was answered is not HTTP"
    return "the connection was closed before the answer"


def _os_words(fault: OSError) -> str:
    return strerror(fault.errno).lower() if fault.errno else "no way to it"
