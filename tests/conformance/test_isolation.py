"""
Two affiliates in one instance: no key of one opens anything of the other, and a flood at one is not
felt at the other (promise P6).
"""

import asyncio
import base64
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import httpx
import pytest

from loopback import LOOPBACK
from running import Dev, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "06-two-affiliates"
AFFILIATES = ("globex", "initech")
ROUTES = {
    "/v1/events": '{"messageId": "ID"}',
    "/v1/track": '{"messageId": "ID", "event": "E"}',
    "/v1/batch": '{"batch": [{"messageId": "ID"}]}',
    "/v1/raw/events": "ID",
}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, backbone: tuple[str, ...]) -> Iterator[Dev]:
    manifests = [file.read_text("utf-8") for file in EXAMPLE.iterdir()]
    with serving(tmp_path_factory.mktemp("isolation"), *manifests, arguments=backbone) as running:
        yield running


@pytest.fixture(scope="module")
def keys(dev: Dev) -> list[tuple[str, str, str]]:
    """Every key there is: its affiliate, use and value."""
    return [
        (affiliate, key["use"], key["key"])
        for affiliate in AFFILIATES
        for key in dev.read("keys", "list", affiliate)
    ]


def ways(key: str) -> Iterator[tuple[dict[str, str], str]]:
    """How a key can be shown: headers and query."""
    basic = base64.b64encode(f"{key}:".encode()).decode()
    yield {"authorization": f"Bearer {key}"}, ""
    yield {"authorization": f"Basic {basic}"}, ""
    yield {"x-trackmate-key": key}, ""
    yield {}, f"?key={key}"


def test_no_key_opens_a_host_of_another_affiliate(
    dev: Dev, keys: list[tuple[str, str, str]]
) -> None:
    """Every key, at every affiliate's host, by every route and every way to show it."""
    stored: dict[str, int] = dict.fromkeys(AFFILIATES, 0)
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        for (owner, use, key), host, (path, body) in product(keys, AFFILIATES, ROUTES.items()):
            for headers, query in ways(key):
                sent = {**headers, "host": f"{host}.track.example.com"}
                sent["content-type"] = "application/json"
                event = body.replace("ID", f"{owner}-at-{host}")
                answer = http.post(path + query, content=event, headers=sent)
                opens = owner == host and not (query and use == "Server")
                assert answer.status_code == (200 if opens else 401), answer.text
                stored[owner] += opens

    for affiliate in AFFILIATES:
        values = [event.value.decode() for event in dev.tail(affiliate)]
        assert len(values) == stored[affiliate] > 0
        assert all(f"{affiliate}-at-{affiliate}" in value for value in values)


def test_a_key_in_the_body_opens_its_own_affiliate_only(
    dev: Dev, keys: list[tuple[str, str, str]]
) -> None:
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        for (owner, _, key), host in product(keys, AFFILIATES):
            event = {"writeKey": key, "messageId": f"body-{owner}", "affiliate": host}
            headers = {"host": f"{host}.track.example.com"}
            answer = http.post("/v1/track", json=event, headers=headers)
            assert answer.status_code == (200 if owner == host else 401)


def test_on_loopback_the_key_alone_decides(dev: Dev, keys: list[tuple[str, str, str]]) -> None:
    before = {affiliate: len(dev.tail(affiliate)) for affiliate in AFFILIATES}
    owner, _, key = keys[0]
    other = next(name for name in AFFILIATES if name != owner)
    claims = {"affiliate": other, "tenant": other, "x-tenant": other}
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        headers = {"x-trackmate-key": key, "x-tenant": other, "x-forwarded-host": other}
        answer = http.post("/v1/events", json=claims, headers=headers)

    assert answer.status_code == 200
    after = {affiliate: len(dev.tail(affiliate)) for affiliate in AFFILIATES}
    assert after == {**before, owner: before[owner] + 1}


FLOOD = 50 * 50  # requests a second: fifty times the limit of initech
SECONDS = 4
WORST_P99 = 0.25  # seconds; the bound that docs/guarantees.md states


@pytest.mark.alone
def test_a_flood_at_one_affiliate_is_not_felt_at_the_other(dev: Dev) -> None:
    quiet, flooding = dev.key("depot", "globex"), dev.key("web", "initech")
    alone = asyncio.run(_neighbour(dev, quiet))
    beside, flood = asyncio.run(_both(dev, quiet, flooding))

    assert flood.count(429) > 0.8 * FLOOD * SECONDS, "the flood did not reach its rate"
    assert flood.count(200) <= 50 * (SECONDS + 3), "the limit did not hold"
    assert set(flood) <= {200, 429}
    assert [status for status, _ in beside] == [200] * len(beside)
    assert len(beside) == len(alone)
    assert _p99(beside) < max(WORST_P99, 3 * _p99(alone))


async def _neighbour(dev: Dev, key: str) -> list[tuple[int, float]]:
    """Ten requests a second, each on time whatever came of the one before."""
    async with httpx.AsyncClient(base_url=dev.url, **LOOPBACK) as http:

        async def one(number: int) -> tuple[int, float]:
            await asyncio.sleep(number / 10)
            began = time.perf_counter()
            answer = await http.post(
                "/v1/events", json={"n": number}, headers={"x-trackmate-key": key}
            )
            return answer.status_code, time.perf_counter() - began

        return list(await asyncio.gather(*(one(number) for number in range(SECONDS * 10))))


async def _both(dev: Dev, quiet: str, flooding: str) -> tuple[list[tuple[int, float]], list[int]]:
    floods = asyncio.gather(*(_flood(dev, flooding) for _ in range(10)))
    neighbour, flood = await asyncio.gather(_neighbour(dev, quiet), floods)
    return neighbour, [status for part in flood for status in part]


async def _flood(dev: Dev, key: str) -> list[int]:
    """A tenth of the flood, on one connection, written without waiting for the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", dev.port)
    request = (
        f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Trackmate-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()
    rounds = SECONDS * 10
    statuses: list[int] = []
    for _ in range(rounds):
        began = time.perf_counter()
        count = FLOOD // 10 // 10
        writer.write(request * count)
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
            await reader.readexactly(size)
            statuses.append(int(head[9:12]))
        await asyncio.sleep(max(0, 0.1 - (time.perf_counter() - began)))
    writer.close()
    await writer.wait_closed()
    return statuses


def _p99(answers: list[tuple[int, float]]) -> float:
    return sorted(seconds for _, seconds in answers)[int(len(answers) * 0.99)]
