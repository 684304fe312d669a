"""
Connection strings of the sink `postgres`: what they may say, that no message repeats any of one,
and that none leads to where a pipeline may not go.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handing import RUNNERS, fault, hand, postgres_sink
from inside import LITERALS, RESOLVED
from nameserver import asking, naming
from receiver import Receiver, receiving
from trackmate_consume.sink import Down, Unfit
from trackmate_consume.sinks.guard import Blocked
from trackmate_consume.sinks.postgres_string import Misspelt, read

PATH = "spec.sink.postgres.connectionSecretRef"
CANARY = "canary4f1d9a7c"
NOT_PUBLIC = (
    "blocked: the address of the host in the Secret is not public, or not known; the platform's "
    "allowedNetworks decide"
)
NOT_THIS_WAY = (
    "blocked: public addresses are asked with sslmode=require, verify-ca or verify-full, on port "
    "5432, 6432 or 6543 alone; the platform's allowedNetworks decide what else"
)
ELSEWHERE = [ip_network("192.0.2.128/25")]


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


@pytest.fixture(scope="module")
def probe() -> Iterator[Receiver]:
    """On all of this machine's addresses, of both kinds."""
    with receiving(at=("::", 0)) as backend:
        yield backend


def refusal(connection: str, **more: Any) -> Exception:
    return asyncio.run(fault(hand(postgres_sink(connection, **more))))


# what they say


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u@a.example", [("a.example", None, 5432)]),
        ("postgres://u@a.example:6432/", [("a.example", None, 6432)]),
        ("postgresql://u@[2001:db8::1]:6432/d", [("2001:db8::1", None, 6432)]),
        ("postgresql://u@a,b:1,[::2]", [("a", None, 5432), ("b", None, 1), ("::2", None, 5432)]),
        ("postgresql://u@/d?host=a.example&port=7", [("a.example", None, 7)]),
        ("postgresql:///d?user=u&host=a.example", [("a.example", None, 5432)]),
        ("postgresql://u@a?hostaddr=192.0.2.1", [("a", "192.0.2.1", 5432)]),
        ("host=a.example user=u", [("a.example", None, 5432)]),
        ("  user = 'u'   host= a.example\n", [("a.example", None, 5432)]),
        ("user=u host=a,b port=1", [("a", None, 1), ("b", None, 1)]),
        ("user=u host=a,b port=1,2", [("a", None, 1), ("b", None, 2)]),
        ("user=u host=a,b port=,2", [("a", None, 5432), ("b", None, 2)]),
        ("user=u hostaddr=192.0.2.1,::1", [("192.0.2.1", "192.0.2.1", 5432), ("::1", "::1", 5432)]),
    ],
)
def test_hosts_are_read_as_libpq_reads_them(text: str, hosts: list[tuple[str, Any, int]]) -> None:
    assert [tuple(host) for host in read(text).hosts] == hosts


def test_what_is_not_given_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", CANARY)

    found = read("host=a user=u")

    assert (found.password, found.database, found.sslmode) == ("", "u", "prefer")
    assert found.settings == {"application_name": "trackmate"}


def test_options_are_read() -> None:
    found = read(
        "postgresql://u:p%40%3a%2F%25@a/d%2Fe?sslmode=verify-full&connect_timeout=7&"
        "application_name=web%20team&options=-c%20search_path%3Dweb&sslrootcert=system&"
        "target_session_attrs=read-write&keepalives_idle=30&gssencmode=disable"
    )

    assert (found.password, found.database, found.connect_s) == ("p@:/%", "d/e", 7.0)
    assert found.sslmode == "verify-full"
    assert found.settings == {
        "application_name": "web team",
        "options": "-c search_path=web",
    }


LETTERS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@given(LETTERS)
@example("it's a \\ back'slash")
@example(" ")
def test_any_password_can_be_written(password: str) -> None:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    encoded = "".join(f"%{byte:02x}" for byte in password.encode())

    assert read(f"user=u host=a password='{escaped}' dbname=d").password == password
    assert read(f"postgresql://u:{encoded}@a/d").password == password


@given(st.text())
@example("postgresql://[")
@example("postgresql://u@a,,b")
@example("host=a user=u port=" + "9" * 5000)
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (
        text,
        f"postgresql://{text}",
        f"host=a user=u {text}",
        f"postgresql://u@a?{text}",
    ):
        with suppress(Misspelt):
            read(whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty; write it like postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
        ("jdbc:postgresql://a/d", "its scheme is another program's; begin it with postgresql://"),
        ("postgresql+psycopg://u@a/d", "its scheme is another program's"),
        ("mysql://u@a/d", "its scheme is another program's"),
        ("warehouse", "it is neither a URI nor key=value"),
        ("host=a user=u password=two words", "it is neither a URI nor key=value"),
        ("host=a user=u password='open", "put values with spaces into single quotes"),
        ("postgresql://a/d", "it names no user; write user=, or USER:PASSWORD@ before the host"),
        ("user=u", "it names no host, or a socket in the file system; write host=NAME"),
        ("postgresql://u@/d", "it names no host"),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/d", "a socket in the file system"),
        ("host=/tmp user=u", "a socket in the file system"),
        ("host=@abstract user=u", "a socket in the file system"),
        ("postgresql://u@/d?host=/tmp", "a socket in the file system"),
        ("host=a,/tmp user=u", "a socket in the file system"),
        ("host=a, user=u", "it names no host"),
        ("host=a,b port=1,2,3 user=u", "not as many of host, hostaddr and port"),
        ("host=a,b hostaddr=::1 user=u", "not as many of host, hostaddr and port"),
        ("host=a hostaddr=b user=u", "its hostaddr is not an address; write a name as host"),
        ("host=a port=0 user=u", "a port of it is no port; write a number up to 65535"),
        ("postgresql://u@a:5432x/d", "a port of it is no port"),
        ("postgresql://u:p@ss@a/d", "it has an @ that parts nothing; in a URI write @ : / ? # % &"),
        ("postgresql://u:p/ss@a/d", "as %40 %3A %2F"),
        ("postgresql://u:12/ss@a/d", "it has an @ that parts nothing"),
        ("postgresql://u:p%zz@a/d", "it has a % that begins no escape"),
        ("postgresql://u:p%ff@a/d", "its escapes are not UTF-8"),
        ("postgresql://u%00x@a/d", "it has a NUL; take it out"),
        ("postgresql://u@[::1/d", "an IPv6 address has no end"),
        ("host=a user=u sslmode=maybe", "its sslmode is none; there are allow, disable"),
        ("host=a user=u connect_timeout=soon", "its connect_timeout is no number"),
        ("host=a user=u pgbouncer=true", "it has an option that is not known here; there are"),
        ("postgresql://u@a/d?schema", "option 1 behind its ? has no ="),
        # what would read the pod's own
        (
            "service=web",
            "'service' cannot be used here: it would be looked up in a file of the pod",
        ),
        ("host=a user=u servicefile=/x", "'servicefile' cannot be used here"),
        (
            "host=a user=u passfile=/x",
            "'passfile' cannot be used here: it would name a file of the",
        ),
        (
            "host=a user=u sslkey=/x",
            "'sslkey' cannot be used here: it would name a file of the pod",
        ),
        ("host=a user=u sslcert=/x", "'sslcert' cannot be used here: it would name a file of the"),
        (
            "host=a user=u sslcrl=/x",
            "'sslcrl' cannot be used here: it would name a file of the pod",
        ),
        (
            "postgresql://u@a?sslrootcert=/etc/passwd",
            "name the authority's Secret under tls.caSecr",
        ),
        ("host=a user=u sslrootcert=system", "sslrootcert=system verifies the name too; write ssl"),
        ("host=a user=u requirepeer=root", "'requirepeer' cannot be used here: it is for sockets"),
        # what would be another security than was asked for
        (
            "host=a user=u channel_binding=require",
            "'channel_binding' cannot be this here: write ssl",
        ),
        ("host=a user=u gssencmode=require", "'gssencmode' cannot be this here: write sslmode=ver"),
        ("host=a user=u krbsrvname=x", "'krbsrvname' cannot be used here: it is for Kerberos"),
        (
            "host=a user=u target_session_attrs=standby",
            "cannot be this here: leave it out; the pri",
        ),
        ("host=a user=u replication=true", "'replication' cannot be used here"),
    ],
)
def test_a_string_that_cannot_be_used_is_unfit_with_its_cure(text: str, said: str) -> None:
    refused = refusal(text)

    assert isinstance(refused, Unfit)
    assert refused.path == PATH
    assert str(refused).startswith(
        "what Secret 'warehouse' has under 'url' is not a connection string that can be used: "
    )
    assert said in str(refused)


HOLES = [
    "{}",
    "postgresql:/{}",
    "postgres//{}",
    "{}://u@127.0.0.1/d",
    "postgresql://u:{}",
    "postgresql://{}",
    "postgresql://u:{}/x@127.0.0.1/d",
    "postgresql://u:x@{}@127.0.0.1:1/d",
    "postgresql://u:x/{}@127.0.0.1:1/d",
    "postgresql://u:1/{}@127.0.0.1:1/d",
    "postgresql://u:x?{}@127.0.0.1:1/d",
    "postgresql://u:x?{}=@127.0.0.1:1/d",
    "postgresql://u:x#{}@127.0.0.1:1/d",
    "postgresql://u:{}%@127.0.0.1:1/d",
    "postgresql://u:{}%00@127.0.0.1:1/d",
    "postgresql://u:x:{}@127.0.0.1:1/d",
    "postgresql://u:{}@127.0.0.1:1/d",
    "postgresql://{}:u@127.0.0.1:1/d",
    "postgresql://u@127.0.0.1:{}/d",
    "postgresql://u@[{}]/d",
    "postgresql://u@{}:1/d",
    "postgresql://u@127.0.0.1:1/{}",
    "postgresql://u:p@127.0.0.1:1/d?sslmode={}",
    "postgresql://u:p@127.0.0.1:1/d?{}=1",
    "postgresql://u:p@127.0.0.1:1/d?x&{}",
    "postgresql://u:p@127.0.0.1:1/d?sslrootcert=/{}",
    "postgresql://u:p@127.0.0.1:1/d?options={}",
    "postgresql://u:p@127.0.0.1:1/d?connect_timeout={}",
    "host=127.0.0.1 port=1 user=u password={}",
    "host=127.0.0.1 port=1 user=u password=two {}",
    "host=127.0.0.1 port=1 user=u password=two {}=x",
    "host=127.0.0.1 port=1 user=u password='{}",
    "host=127.0.0.1 port=1 user=u passwort={}",
    "host=127.0.0.1 port=1 user=u {}=secret",
    "host={} port=1 user=u",
    "host=127.0.0.1 hostaddr={} user=u",
    "host=127.0.0.1 port={} user=u",
    "host=/{} user=u",
    "host=127.0.0.1 port=1 user=u channel_binding={}",
    "host=127.0.0.1 port=1 user=u service={}",
    "host=127.0.0.1 port=1 user=u sslkey={}",
]


@pytest.mark.parametrize("hole", HOLES)
def test_whatever_is_wrong_with_a_string_no_message_repeats_it(
    hole: str, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = postgres_sink(hole.format(CANARY))

    said = run(fault(hand(sink)))

    assert isinstance(said, Unfit | Down)
    assert CANARY not in str(said) + repr(said) + caplog.text + repr(sink)
    assert said.__cause__ is None
    assert CANARY not in repr(getattr(sink, "_to", ""))


# where they lead


SHAPES = [
    "postgresql://u@{uri}:{port}/d?sslmode=require",
    "host={host} port={port} user=u",
    "host={host},{host} port={port} user=u sslmode=disable",
    "host=db.example,{host} port={port} user=u sslmode=require",
]


def test_the_probe_sees_who_may_reach_it(run: Callable[..., Any]) -> None:
    """Else that it sees nothing would say nothing."""
    with receiving(at=("::", 0)) as seeing:
        strings = [
            f"host={host} port={seeing.port} user=u sslmode=disable connect_timeout=1"
            for host in ("127.0.0.1", "::1", "0x7f000001", "x.example hostaddr=127.0.0.1")
        ]
        for string in strings:
            assert str(run(fault(hand(postgres_sink(string))))) == "no answer in time"
        assert seeing.connections == len(strings)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("literal", LITERALS)
def test_no_spelling_of_an_address_inside_is_connected_to(
    probe: Receiver, literal: str, shape: str
) -> None:
    string = shape.format(uri=literal, host=literal.strip("[]"), port=probe.port)

    for allowed in ([], ELSEWHERE):
        said = refusal(string, allowed=allowed, lookup=_nowhere_or(literal))
        assert isinstance(said, Unfit | Down)
        assert "blocked: " in str(said) or "is not a connection string" in str(said)
    assert probe.connections == 0


@pytest.mark.parametrize("address", RESOLVED)
def test_no_hostaddr_inside_is_connected_to(probe: Receiver, address: str) -> None:
    string = f"host=db.example hostaddr={address} port={probe.port} user=u sslmode=require"

    for allowed in ([], ELSEWHERE):
        said = refusal(string, allowed=allowed)
        assert isinstance(said, Unfit)
        assert str(said) == NOT_PUBLIC
    assert probe.connections == 0


def test_no_connection_is_made_around_the_guard(probe: Receiver) -> None:
    """What is judged before the first connection is judged again at every one."""
    sink = postgres_sink("", allowed=())
    sink._to = read(f"host=db.example hostaddr=127.0.0.1 port={probe.port} user=u")  # noqa: SLF001 - around the first wall

    assert isinstance(asyncio.run(fault(sink._connected(sink._to.hosts[0]))), Blocked)  # noqa: SLF001 - ditto
    assert probe.connections == 0


@pytest.mark.parametrize("address", RESOLVED)
def test_a_name_that_leads_inside_is_blocked(
    probe: Receiver, address: str, run: Callable[..., Any]
) -> None:
    with naming({"db.example": [[address]]}) as server:
        string = "postgresql://u@db.example/d?sslmode=require"
        said = run(fault(hand(postgres_sink(string, allowed=(), lookup=asking(server)))))

    assert isinstance(said, Down)
    assert str(said) == NOT_PUBLIC
    assert server.asked == ["db.example"]


def test_what_is_inside_cannot_be_told_from_what_is_nowhere() -> None:
    with receiving() as up, naming({"inside.example": [["10.0.0.1"]]}) as server:
        said = [
            str(
                refusal(f"host={host} port={port} user=u", allowed=ELSEWHERE, lookup=asking(server))
            )
            for host, port in [
                ("inside.example", up.port),
                ("nowhere.example", up.port),
                ("127.0.0.1", up.port),
                ("127.0.0.1", 1),
            ]
        ]

        assert set(said) == {NOT_PUBLIC}
        assert up.connections == 0


@pytest.mark.parametrize(
    "string",
    [
        "postgresql://u@db.example/d",
        "postgresql://u@db.example/d?sslmode=prefer",
        "postgresql://u@db.example/d?sslmode=disable",
        "postgresql://u@db.example:22/d?sslmode=require",
        "postgresql://u@db.example:10250/d?sslmode=verify-full",
        "postgresql://u@93.184.216.34:6443/d?sslmode=require",
        "host=db.example hostaddr=93.184.216.34 user=u",
    ],
)
def test_public_addresses_are_asked_by_tls_on_the_ports_of_postgresql(string: str) -> None:
    """Known before anything is resolved."""
    said = refusal(string, allowed=())

    assert isinstance(said, Unfit)
    assert str(said) == NOT_THIS_WAY


def test_one_bad_address_spoils_the_name(run: Callable[..., Any]) -> None:
    with (
        receiving(at=("127.0.0.2", 0)) as permitted,
        receiving(at=("127.0.0.1", permitted.port)) as probe,
        naming({"mixed.example": [["127.0.0.2", "127.0.0.1"]]}) as server,
    ):
        sink = postgres_sink(
            f"host=mixed.example port={permitted.port} user=u",
            allowed=[ip_network("127.0.0.2/32")],
            lookup=asking(server),
        )

        assert str(run(fault(hand(sink)))) == NOT_PUBLIC
        assert (permitted.connections, probe.connections) == (0, 0)


def test_every_connection_is_judged_anew_and_goes_where_it_was_judged(
    run: Callable[..., Any],
) -> None:
    with (
        receiving(at=("127.0.0.2", 0)) as permitted,
        receiving(at=("127.0.0.1", permitted.port)) as probe,
        naming({"flip.example": [["127.0.0.2"], ["127.0.0.1"]]}) as server,
    ):
        sink = postgres_sink(
            f"host=flip.example port={permitted.port} user=u sslmode=disable connect_timeout=1",
            allowed=[ip_network("127.0.0.2/32")],
            lookup=asking(server),
        )

        first, second = (run(fault(hand(sink))) for _ in range(2))

        assert (permitted.connections, probe.connections) == (1, 0)
        assert str(first) == "no answer in time"
        assert str(second) == NOT_PUBLIC


def _nowhere_or(literal: str) -> Callable[[str], Any]:
    """As the system resolves it; but for db.example, which is nowhere."""

    async def look(host: str) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
        return [str(address[0]) for *_, address in found]

    async def nowhere_or(host: str) -> list[str]:
        return [] if host == "db.example" else await look(host)

    return nowhere_or
