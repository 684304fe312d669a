"""
Where a pipeline may not go: every address and spelling that leads inside ends before a connection.
The probe listens on this machine, and must see none.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from handing import LOOPBACK, RUNNERS, event, fault, hand, http_sink, opened
from inside import LITERALS, RESOLVED
from nameserver import asking, naming
from receiver import Answer, Receiver, Request, receiving
from trackmate_consume.sink import Down, Unfit
from trackmate_consume.sinks.connecting import guarded
from trackmate_consume.sinks.guard import Blocked, Guard, is_public, plain
from trackmate_consume.sinks.resolving import system_lookup

HARNESS = Path(__file__).parents[1] / "harness"

NOT_EVEN_WRITTEN = [
    "http://user:password@127.0.0.1/",
    "http://www.acme.example@127.0.0.1/",
    "http://127.0.0.1#@www.acme.example/",
    "http://[fe80::1%25lo]/",
    "http://[::1%25lo]/",
    "http:///127.0.0.1/",
    "http:/\\127.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\r\nHost: x/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "unix:///run/docker.sock",
    "//127.0.0.1/",
    "http://%31%32%37.0.0.1/",
]


@pytest.fixture(scope="module")
def probe() -> Iterator[Receiver]:
    """On all of this machine's addresses, of both kinds."""
    with receiving(at=("::", 0)) as backend:
        yield backend


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


def closing(request: Request) -> Answer:
    return Answer(headers={"Connection": "close"})


def test_the_probe_sees_who_may_reach_it(run: Callable[..., Any]) -> None:
    """Else that it sees nothing would say nothing."""
    with receiving(at=("::", 0)) as probe:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0x7f000001"):
            run(hand(http_sink({"url": f"http://{host}:{probe.port}/"}, allowed=LOOPBACK)))
        assert probe.connections == 5


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LITERALS)
def test_an_address_that_is_not_public_is_unfit(probe: Receiver, scheme: str, host: str) -> None:
    url = f"{scheme}://{host}:{probe.port}/hooks"

    said = asyncio.run(fault(hand(http_sink({"url": url}, allowed=()))))

    assert isinstance(said, Unfit)
    assert said.path == "spec.sink.http.url"
    assert str(said).endswith(
        "is not public, or not known; the platform's allowedNetworks decide"
    ) or str(said).endswith("mend its host or its port")
    assert probe.connections == 0


@pytest.mark.parametrize("host", LITERALS)
def test_no_spelling_reaches_beyond_what_is_allowed(
    probe: Receiver, host: str, run: Callable[..., Any]
) -> None:
    """With another network allowed, hosts are judged when they are resolved and connected to."""
    spec = {"url": f"http://{host}:{probe.port}/hooks", "timeout": "2s"}

    said = run(fault(hand(http_sink(spec, allowed=[ip_network("192.0.2.128/25")]))))

    assert isinstance(said, Unfit | Down)
    assert "blocked: " in str(said) or "is not a URL" in str(said)
    assert probe.connections == 0


@pytest.mark.parametrize("address", RESOLVED)
def test_a_name_that_leads_inside_is_blocked(
    probe: Receiver, address: str, run: Callable[..., Any]
) -> None:
    with naming({"hooks.example": [[address]]}) as server:
        sink = http_sink({"url": "https://hooks.example/"}, allowed=(), lookup=asking(server))
        said = run(fault(hand(sink)))

    assert isinstance(said, Down)
    assert str(said) == (
        "blocked: the address of 'hooks.example' is not public, or not known; the platform's "
        "allowedNetworks decide"
    )
    assert server.asked == ["hooks.example"]
    assert probe.connections == 0


def test_what_is_inside_cannot_be_told_from_what_is_nowhere(run: Callable[..., Any]) -> None:
    """No oracle: not for names that the cluster knows, nor for who listens where."""
    with receiving() as up, naming({"inside.example": [["10.0.0.1"]]}) as server:
        urls = [
            f"http://inside.example:{up.port}/",
            f"http://nowhere.example:{up.port}/",
        ]
        allowed = [ip_network("192.0.2.128/25")]
        inside, nowhere = (
            str(run(fault(hand(http_sink({"url": u}, allowed=allowed, lookup=asking(server))))))
            for u in urls
        )
        listening, closed = (
            str(run(fault(hand(http_sink({"url": f"http://127.0.0.1:{p}/"}, allowed=allowed)))))
            for p in (up.port, 1)
        )

        assert inside.replace("inside", "nowhere") == nowhere
        assert listening == closed
        assert up.connections == 0


@pytest.mark.parametrize("url", NOT_EVEN_WRITTEN)
def test_a_url_that_hides_its_host_is_no_url(url: str) -> None:
    with pytest.raises(ValidationError, match="is not an http URL"):
        http_sink({"url": url})


def test_the_corpus_is_as_large_as_was_asked() -> None:
    assert len(set(LITERALS)) + len(RESOLVED) + len(NOT_EVEN_WRITTEN) >= 80


def test_no_connection_is_made_around_the_guard(probe: Receiver, run: Callable[..., Any]) -> None:
    """An address is never resolved: the socket's own factory is the second wall."""
    guard = Guard("hooks.example", 443, encrypted=True)

    async def connect(host: str) -> Exception:
        connector = guarded(guard, system_lookup, connections=1, trust=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            return await fault(session.post(f"http://{host}:{probe.port}/"))

    for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"):
        assert isinstance(run(connect(host)), Blocked)
    assert probe.connections == 0


# names whose answers change


def test_a_connection_goes_to_the_address_that_was_judged(run: Callable[..., Any]) -> None:
    """The name is asked for once: what it means afterwards is of no account."""
    with (
        receiving(at=("127.0.0.2", 0)) as permitted,
        receiving(at=("127.0.0.1", permitted.port)) as probe,
        naming({"flip.example": [["127.0.0.2"], ["127.0.0.1"]]}) as server,
    ):
        sink = http_sink(
            {"url": f"http://flip.example:{permitted.port}/"},
            allowed=[ip_network("127.0.0.2/32")],
            lookup=asking(server),
        )
        run(hand(sink, event("a"), event("b")))

        assert [request.id for request in permitted.requests] == ["a", "b"]
        assert permitted.requests[0].headers["host"] == f"flip.example:{permitted.port}"
        assert server.asked == ["flip.example"]
        assert probe.connections == 0


def test_every_connection_is_judged_anew(run: Callable[..., Any]) -> None:
    with (
        receiving(closing, at=("127.0.0.2", 0)) as permitted,
        receiving(at=("127.0.0.1", permitted.port)) as probe,
        naming({"flip.example": [["127.0.0.2"], ["127.0.0.1"]]}) as server,
    ):
        sink = http_sink(
            {"url": f"http://flip.example:{permitted.port}/"},
            allowed=[ip_network("127.0.0.2/32")],
            lookup=asking(server),
        )

        async def twice() -> Exception:
            async with opened(sink):
                await sink.write([event("a")])
                return await fault(sink.write([event("b")]))

        assert "blocked: " in str(run(twice()))
        assert [request.id for request in permitted.requests] == ["a"]
        assert probe.connections == 0


@pytest.mark.parametrize(
    "answer", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "::1"]]
)
def test_one_bad_answer_spoils_the_name(answer: list[str], run: Callable[..., Any]) -> None:
    with (
        receiving(at=("127.0.0.2", 0)) as permitted,
        receiving(at=("127.0.0.1", permitted.port)) as probe,
        naming({"mixed.example": [answer]}) as server,
    ):
        sink = http_sink(
            {"url": f"http://mixed.example:{permitted.port}/"},
            allowed=[ip_network("127.0.0.2/32")],
            lookup=asking(server),
        )

        assert "blocked: " in str(run(fault(hand(sink))))
        assert (permitted.connections, probe.connections) == (0, 0)


@pytest.mark.needs("mount")
def test_a_public_name_that_comes_to_mean_this_machine_reaches_nobody(tmp_path: Path) -> None:
    """All of it real: the system's resolver, https to a public address, in a network of its own."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, HARNESS / "rebinding.py"],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    blocked = (
        "blocked: the address of 'hooks.example' is not public, or not known; the platform's "
        "allowedNetworks decide"
    )
    assert found == {
        "far": ["e-0"],
        "probe": 0,
        "asked": 4,
        "said": ["", blocked, blocked, blocked],
    }


# the judgement itself


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "172.32.0.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses())
@example(ip_address("64:ff9b::a9fe:a9fe"))
@example(ip_address("2002:7f00:1::"))
@example(ip_address("224.0.0.1"))
@example(ip_address("192.0.0.8"))
def test_what_is_public_is_global_and_no_disguise(address: IPv4Address | IPv6Address) -> None:
    """Stricter than the standard library, never laxer."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not getattr(address, "sixtofour", None)
        assert not getattr(address, "teredo", None)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_its_ipv6_form(address: IPv4Address) -> None:
    assert plain(f"::ffff:{address}") == address


@pytest.mark.parametrize(
    ("port", "encrypted", "permitted"),
    [(443, True, True), (8443, True, True), (80, False, False), (443, False, False)]
    + [(port, True, False) for port in (22, 25, 6443, 9200, 10250)],
)
def test_public_addresses_are_asked_by_https_on_its_ports(
    port: int,
    encrypted: bool,  # noqa: FBT001 - a table's cell
    permitted: bool,  # noqa: FBT001 - ditto
) -> None:
    guard = Guard("hooks.example", port, encrypted)
    if permitted:
        guard.check(["93.184.216.34"])
        return
    with pytest.raises(Blocked, match="by https, on port 443 or 8443 alone"):
        guard.check(["93.184.216.34"])


def test_a_port_that_no_public_address_may_have_is_unfit() -> None:
    """Where nothing else is allowed that is known before the name is."""
    for url in ("http://hooks.example/", "https://hooks.example:9200/"):
        said = asyncio.run(fault(http_sink({"url": url}, allowed=()).open()))
        assert isinstance(said, Unfit)
        assert "by https, on port 443 or 8443 alone" in str(said)


def test_an_allowed_network_may_be_asked_on_any_port_and_without_tls() -> None:
    network = ip_network("203.0.113.0/24")
    Guard("es.example", 9200, encrypted=False, allowed=(network,)).check(["203.0.113.7"])


def test_an_allowed_network_allows_nothing_beside_it() -> None:
    guard = Guard("es.example", 9200, encrypted=False, allowed=(ip_network("10.1.0.0/16"),))
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "127.0.0.1", "64:ff9b::10.1.0.1"):
        with pytest.raises(Blocked):
            guard.check([address])
    guard.check(["::ffff:10.1.0.1"])
