"""
What the declaration of an `http` sink comes to: where requests go, with which headers, keys and
trust. Everything that can be found wrong before the first request is Unfit, with its path.
"""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import parse_qsl, unquote

from yarl import URL

from trackmate_consume.sink import Unfit
from trackmate_consume.sinks.answers import Words
from trackmate_consume.sinks.guard import Blocked, Guard
from trackmate_consume.sinks.resolving import spelled_out
from trackmate_consume.sinks.secret import Secret, found
from trackmate_consume.sinks.signing import Signer, signer_of
from trackmate_consume.sinks.trust import add_authority
from trackmate_contract.pipeline import Header, Http

_HTTP = "spec.sink.http"
_NUMERIC = re.compile(r"[0-9.]+|.*:.*")
_VALUE = re.compile(r"[!-~]([\t -~]*[!-~])?")
_OPEN = frozenset({"accept", "content-type", "user-agent"})  # headers that hold no secret
_LEAST_SECRET = 6  # characters: a shorter text is in every answer


@dataclass(frozen=True)
class Destination:
    """Where requests go, and what each of them has."""

    url: URL = field(repr=False)
    guard: Guard
    headers: dict[str, str] = field(repr=False)
    signer: Signer | None
    trust: ssl.SSLContext | bool
    words: Words
    """Tell what is answered, without what is secret here."""

    @property
    def bulk(self) -> bool:
        """Whether it is the `_bulk` of Elasticsearch or OpenSearch."""
        return self.url.path.rstrip("/").endswith("/_bulk")


def destination(
    spec: Http, secret: Secret, allowed: Sequence[IPv4Network | IPv6Network]
) -> Destination:
    """Raises Unfit."""
    url = _url(spec.url)
    guard = _guard(url, tuple(allowed))
    headers = {header.name: _value(n, header, secret) for n, header in enumerate(spec.headers)}
    signing = ""
    signer = None
    if spec.signing is not None:
        path = f"{_HTTP}.signing.secretRef"
        signing = found(spec.signing.secret_ref, secret, path)
        signer = _signer(signing, path)
    words = Words(sorted(_secrets(url, headers, signing), key=len, reverse=True))
    return Destination(url, guard, headers, signer, _trust(spec, secret), words)


def _url(text: str) -> URL:
    try:
        url = URL(text, encoded=True)  # as it is written: a backend may compare it
        host = url.host or ""
    except ValueError:  # no such port, or no such letters
        host = ""
    if not host or (_NUMERIC.fullmatch(host) and spelled_out(host) is None):
        shown = text.partition("?")[0]  # a token may be behind it
        raise Unfit(f"{_HTTP}.url", f"{shown!r} is not a URL; mend its host or its port")
    return url


def _guard(url: URL, allowed: tuple[IPv4Network | IPv6Network, ...]) -> Guard:
    """Whether it can be reached at all; a name that is no address is judged when it is resolved."""
    host = url.host or ""
    guard = Guard(host, url.port or 0, url.scheme == "https", allowed)
    address = spelled_out(host)
    try:
        if address is not None:
            guard.check([address])
        elif not allowed:
            guard.check_way()
    except Blocked as fault:
        raise Unfit(f"{_HTTP}.url", str(fault)) from None
    if address is not None and _NUMERIC.fullmatch(host) and ":" not in host and host != address:
        raise Unfit(f"{_HTTP}.url", f"{host!r} is an address in disguise; write {address!r}")
    return guard


def _value(number: int, header: Header, secret: Secret) -> str:
    if header.value_from is None:
        return header.value or ""
    path = f"{_HTTP}.headers[{number}].valueFrom.secretKeyRef"
    ref = header.value_from.secret_key_ref
    value = found(ref, secret, path)
    if not _VALUE.fullmatch(value):
        raise Unfit(
            path,
            f"what Secret {ref.name!r} has under {ref.key!r} cannot be a header's value: it has a "
            "line break, a space at an end or a character beyond ASCII, or is empty; write it anew "
            "without",
        )
    return value


def _signer(text: str, path: str) -> Signer:
    try:
        return signer_of(text)
    except ValueError as fault:
        raise Unfit(path, str(fault)) from None


def _trust(spec: Http, secret: Secret) -> ssl.SSLContext | bool:
    """The public authorities, and the declared one beside them."""
    if spec.tls is None:
        return True
    trust = ssl.create_default_context()
    add_authority(trust, spec.tls.ca_secret_ref, secret, f"{_HTTP}.tls.caSecretRef")
    return trust


def _secrets(url: URL, headers: dict[str, str], signing: str) -> Iterator[str]:
    """What no message may repeat: a value, and each word of it, as in `Bearer TOKEN`."""
    values = [value for name, value in headers.items() if name.lower() not in _OPEN]
    values += [signing, *signing.replace(",", " ").split()]
    for value in [*values, *_query_values(url)]:
        yield from (word for word in {value, *value.split()} if len(word) >= _LEAST_SECRET)


def _query_values(url: URL) -> Iterator[str]:
    for part in url.raw_query_string.split("&"):
        value = part.partition("=")[2]
        yield from {value, unquote(value)}
    yield from (value for _, value in parse_qsl(url.raw_query_string))
