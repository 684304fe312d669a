"""
A connection string of PostgreSQL, read as libpq reads it: a URI or `key=value`.

It comes from a tenant, so what would read the pod's own files, sockets or environment is refused,
and what is not given is never looked for there. It is a secret, so no message repeats any of it: a
password with an `@` in a URI may end up in every other part.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

DEFAULT_PORT = 5432

_SCHEMES = ("postgresql://", "postgres://")
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.+:-]*://")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_PAIR = re.compile(
    r"\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)", re.DOTALL
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
VERIFIED = frozenset({"verify-ca", "verify-full"})
_MODES = ENCRYPTED | {"disable", "allow", "prefer"}

_OURS = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "sslmode"}
    | {"application_name", "options", "connect_timeout"}
)
_PASSED_OVER = frozenset(
    {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
    | {"tcp_user_timeout", "fallback_application_name", "sslcompression", "sslsni"}
)
"""Options that change nothing about where the events go, or for whom they can be read."""

_ONLY = {
    "channel_binding": ({"disable", "prefer"}, "write sslmode=verify-full in its place"),
    "client_encoding": ({"auto", "utf8", "utf-8", "UTF8", "UTF-8"}, "leave it out; it is UTF8"),
    "gssencmode": ({"disable", "prefer"}, "write sslmode=verify-full in its place"),
    "target_session_attrs": (
        {"any", "read-write", "primary"},
        "leave it out; the primary is looked for",
    ),
    "sslrootcert": (
        {"system"},
        "it would name a file of the pod: name the authority's Secret under tls.caSecretRef",
    ),
    "sslnegotiation": ({"postgres"}, "leave it out"),
}
"""What some options may say, and the cure where they say something else."""

_REFUSED = {
    **dict.fromkeys(
        ("service", "servicefile"),
        "it would be looked up in a file of the pod; write what the service says",
    ),
    "passfile": "it would name a file of the pod; write password=",
    **dict.fromkeys(
        ("sslcert", "sslkey", "sslpassword"),
        "it would name a file of the pod; let the role log in with a password",
    ),
    **dict.fromkeys(("sslcrl", "sslcrldir"), "it would name a file of the pod; leave it out"),
    **dict.fromkeys(
        ("krbsrvname", "gsslib", "gssdelegation"),
        "it is for Kerberos; let the role log in with a password",
    ),
    "requirepeer": "it is for sockets in the file system; leave it out",
    "replication": "events are written by a plain connection; leave it out",
}


class Misspelt(ValueError):  # noqa: N818 - what the string is
    """What is wrong with a connection string, and the cure; without any of its values."""


class Host(NamedTuple):
    """One server to try."""

    name: str
    """What its certificate is about."""
    address: str | None
    """Where it is, if that is said (`hostaddr`); else the name is resolved."""
    port: int


@dataclass(frozen=True)
class Connection:
    """What a connection string says."""

    hosts: tuple[Host, ...] = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)
    database: str = field(repr=False)
    sslmode: str
    """`allow` is `prefer` here: TLS where the server has it."""
    settings: Mapping[str, str] = field(repr=False)
    """Sent with the start: `application_name`, `options`."""
    connect_s: float | None
    """For a connection to be made; None is what suits."""


def read(text: str) -> Connection:
    """
    Raises Misspelt.

    >>> found = read("postgresql://app:s%40fe@a.example,b.example:6432/web?sslmode=require")
    >>> [tuple(host) for host in found.hosts], found.password, found.database
    ([('a.example', None, 5432), ('b.example', None, 6432)], 's@fe', 'web')
    >>> read(r"host=a.example user=app password='it\\'s' dbname=web").password
    "it's"
    """
    text = text.strip()
    if not text:
        raise Misspelt("it is empty; write it like postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    options = dict(_of_uri(text) if text.startswith(_SCHEMES) else _of_pairs(text))
    _check_names(options)
    return _connection({name: value for name, value in options.items() if value})


def _of_uri(text: str) -> Iterator[tuple[str, str]]:
    rest = text.partition("://")[2]
    rest, _, query = rest.partition("?")
    authority, _, database = rest.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if "@" in userinfo or "@" in database:
        raise Misspelt(f"it has an @ that parts nothing; {_ESCAPES}")
    if at:
        user, _, password = userinfo.partition(":")
        yield "user", _decoded(user)
        yield "password", _decoded(password)
    if hosts:
        parts = [_host_and_port(part) for part in hosts.split(",")]
        yield "host", ",".join([host for host, _ in parts])
        yield "port", ",".join([port for _, port in parts])
    if database:
        yield "dbname", _decoded(database)
    for number, part in enumerate(query.split("&") if query else [], 1):
        name, equals, value = part.partition("=")
        if not equals:
            raise Misspelt(f"option {number} behind its ? has no =; {_ESCAPES}")
        yield _decoded(name), _decoded(value)


_ESCAPES = "in a URI write @ : / ? # % & of a password as %40 %3A %2F %3F %23 %25 %26"


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise Misspelt("an IPv6 address has no end; write it like [2001:db8::1]:5432")
        return host, port[1:]
    host, _, port = text.partition(":")
    return _decoded(host), _decoded(port)


def _decoded(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise Misspelt(f"it has a % that begins no escape; {_ESCAPES}")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Misspelt("its escapes are not UTF-8; write it anew") from None


def _of_pairs(text: str) -> Iterator[tuple[str, str]]:
    if _OTHER_SCHEME.match(text):
        raise Misspelt("its scheme is another program's; begin it with postgresql://")
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise Misspelt(
                "it is neither a URI nor key=value; write it like postgresql://USER:PASSWORD@HOST:"
                "5432/DATABASE, or put values with spaces into single quotes"
            )
        name, quoted, plain = pair.groups()
        yield name, re.sub(r"\\(.)", r"\1", plain if quoted is None else quoted, flags=re.DOTALL)
        at = pair.end()


def _check_names(options: Mapping[str, str]) -> None:
    """A name that nobody knows may be a piece of a password, and is not repeated."""
    for name, value in options.items():
        if "\x00" in value:
            raise Misspelt("it has a NUL; take it out")
        if name in _REFUSED:
            raise Misspelt(f"{name!r} cannot be used here: {_REFUSED[name]}")
        values, cure = _ONLY.get(name, (set(), ""))
        if cure and value not in values:
            raise Misspelt(f"{name!r} cannot be this here: {cure}")
        if not cure and name not in _OURS | _PASSED_OVER:
            known = ", ".join(sorted(_OURS))
            raise Misspelt(f"it has an option that is not known here; there are {known}")


def _connection(options: Mapping[str, str]) -> Connection:
    sslmode = options.get("sslmode", "prefer")
    if sslmode not in _MODES:
        raise Misspelt(f"its sslmode is none; there are {', '.join(sorted(_MODES))}")
    if options.get("sslrootcert") and sslmode != "verify-full":
        raise Misspelt("sslrootcert=system verifies the name too; write sslmode=verify-full")
    user = options.get("user")
    if user is None:
        raise Misspelt("it names no user; write user=, or USER:PASSWORD@ before the host")
    settings = {"application_name": options.get("application_name", "trackmate")}
    if "options" in options:
        settings["options"] = options["options"]
    return Connection(
        tuple(_hosts(options)),
        user,
        options.get("password", ""),
        options.get("dbname", user),
        "prefer" if sslmode == "allow" else sslmode,
        settings,
        _seconds(options.get("connect_timeout")),
    )


def _hosts(options: Mapping[str, str]) -> Iterator[Host]:
    names = options.get("host", "").split(",")
    addresses = options.get("hostaddr", "").split(",")
    many = max(len(names), len(addresses))
    names, addresses = ([""] * many if given == [""] else given for given in (names, addresses))
    ports = options.get("port", "").split(",")
    ports = ports * many if len(ports) == 1 else ports
    if not len(names) == len(addresses) == len(ports):
        raise Misspelt("it has not as many of host, hostaddr and port; write one of each a server")
    for name, address, port in zip(names, addresses, ports, strict=True):
        if name.startswith(("/", "@")) or not name + address:
            raise Misspelt("it names no host, or a socket in the file system; write host=NAME")
        yield Host(_name(name or address), _address(address), _port(port))


def _name(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise Misspelt(f"a host of it is none; write a name or an address. And {_ESCAPES}")
    return text


def _address(text: str) -> str | None:
    if not text:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        raise Misspelt("its hostaddr is not an address; write a name as host") from None


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 1 << 16:
        return int(text)
    raise Misspelt(f"a port of it is no port; write a number up to 65535. And {_ESCAPES}")


def _seconds(text: str | None) -> float | None:
    if text is None or re.fullmatch(r"-?[0-9]{1,6}", text) is None:
        if text is not None:
            raise Misspelt("its connect_timeout is no number; write whole seconds")
        return None
    return float(text) if int(text) > 0 else None
