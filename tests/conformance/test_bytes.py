"""
What goes in comes out: over HTTP, by every route, for any JSON text, byte by byte (promise P1).

The texts come from a grammar of their own, with all that re-encoding would lose: white space,
repeated members, numbers that no float holds, escapes of every kind.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopback import LOOPBACK
from running import ACME, Dev, serving

StartDev = Callable[..., Dev]

SPACE = st.text(alphabet=" \t\n\r", max_size=3)
NUMBERS = st.one_of(
    st.sampled_from(["0", "-0", "1e400", "-1E-400", "1.0", "12345678901234567890", "1e0", "0.10"]),
    st.integers(min_value=-(10**30), max_value=10**30).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\').filter(lambda c: c >= " "),
    st.sampled_from(
        ['\\"', "\\\\", "\\/", "\\b", "\\u0000", "\\ud800", "\\udc00x", "\\uD83D\\uDE00"]
    ),
)
STRINGS = st.lists(CHARACTERS, max_size=8).map(lambda parts: '"' + "".join(parts) + '"')
NAMES = st.one_of(st.sampled_from(['"a"', '"a"', '"\\u0061"', '"messageId "']), STRINGS)
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null"]))


def spaced(*parts: "str | st.SearchStrategy[str]") -> "st.SearchStrategy[str]":
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map("".join)


def containers(children: "st.SearchStrategy[str]") -> "st.SearchStrategy[str]":
    item = spaced(SPACE, children, SPACE)
    member = spaced(SPACE, NAMES, SPACE, ":", SPACE, children, SPACE)
    return st.one_of(
        st.lists(item, max_size=4).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}"),
    )


TEXTS = st.recursive(SCALARS, containers, max_leaves=12)
OBJECTS = st.lists(spaced(SPACE, NAMES, SPACE, ":", SPACE, TEXTS, SPACE), max_size=5).map(
    lambda members: "{" + ",".join(members) + "}"
)
DEEP = st.sampled_from(["[" * n + "]" * n for n in (1, 2, 127)] + ['{"a":' * 127 + "1" + "}" * 127])

ANY = TEXTS | OBJECTS | DEEP
LISTS = st.lists(ANY, min_size=1, max_size=6)

STREAMS = ("alone", "arrays", "lines", "beacons", "calls", "batches", "packed", "blobs")
MANIFEST = ACME.replace(
    "streams: [{name: events, partitions: 1}, {name: images, partitions: 1}]",
    "streams: [" + ", ".join(f"{{name: {name}, partitions: 1}}" for name in STREAMS) + "]",
)
LIGHTLY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, backbone: tuple[str, ...]) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("bytes"), MANIFEST, arguments=backbone) as running:
        yield running


class Sender:
    """Posts to one stream and remembers what must be in it."""

    def __init__(self, dev: Dev, stream: str) -> None:
        self.sent: list[bytes] = []
        self._dev = dev
        self._stream = stream
        self._http = httpx.Client(base_url=dev.url, **LOOPBACK)
        self._key = dev.key("server")

    def post(
        self, path: str, body: bytes, media: str, *, events: list[bytes], encoding: str = ""
    ) -> None:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": media}
        if encoding:
            headers["Content-Encoding"] = encoding
        answer = self._http.post(
            path, content=body, headers=headers, params={"stream": self._stream}
        )
        assert answer.status_code == 200, (answer.text, body)
        assert answer.json() == {"status": "stored", "events": len(events)}
        self.sent += events

    def check(self) -> None:
        """Every event is there, in order, with its bytes and their SHA-256, and nothing else."""
        found = self._dev.tail("acme", self._stream)
        assert [event.value for event in found] == self.sent
        assert [event.sha256 for event in found] == [sha256(v).hexdigest() for v in self.sent]
        self._http.close()


def test_a_json_text_alone_keeps_its_bytes(dev: Dev) -> None:
    sender = Sender(dev, "alone")

    @LIGHTLY
    @given(SPACE, OBJECTS | SCALARS | DEEP.filter(lambda text: text[0] == "{"), SPACE)
    def send(before: str, text: str, after: str) -> None:
        body = (before + text + after).encode()
        sender.post("/v1/events", body, "application/json", events=[text.encode()])

    send()
    sender.check()


def test_the_elements_of_an_array_keep_their_bytes(dev: Dev) -> None:
    sender = Sender(dev, "arrays")

    @LIGHTLY
    @given(LISTS, SPACE)
    def send(texts: list[str], space: str) -> None:
        body = f"{space}[{space}" + f"{space},{space}".join(texts) + f"{space}]{space}"
        events = [text.encode() for text in texts]
        sender.post("/v1/events", body.encode(), "application/json", events=events)

    send()
    sender.check()


def test_the_lines_of_ndjson_keep_their_bytes(dev: Dev) -> None:
    sender = Sender(dev, "lines")

    @LIGHTLY
    @given(LISTS, st.sampled_from(["\n", "\r\n", "\n\n", " \n\t"]))
    def send(texts: list[str], between: str) -> None:
        events = [text.encode() for text in texts]
        body = between.join(texts).encode()
        sender.post("/v1/events", body, "application/x-ndjson", events=events)

    send()
    sender.check()


def test_a_beacon_keeps_its_bytes(dev: Dev) -> None:
    sender = Sender(dev, "beacons")

    @LIGHTLY
    @given(st.lists(OBJECTS, min_size=1, max_size=4))
    def send(texts: list[str]) -> None:
        events = [text.encode() for text in texts]
        sender.post("/v1/events", b"\n".join(events), "text/plain;charset=UTF-8", events=events)

    send()
    sender.check()


def test_a_segment_call_keeps_its_bytes(dev: Dev) -> None:
    sender = Sender(dev, "calls")
    paths = ("track", "identify", "page", "screen", "group", "alias", "t", "i", "p", "s", "g", "a")

    @LIGHTLY
    @given(OBJECTS, st.sampled_from(paths))
    def send(text: str, call: str) -> None:
        body = text.encode()
        sender.post(f"/v1/{call}", body, "application/json", events=[body])

    send()
    sender.check()


def test_the_elements_of_a_segment_batch_keep_their_bytes(dev: Dev) -> None:
    sender = Sender(dev, "batches")

    @LIGHTLY
    @given(LISTS, SPACE, st.sampled_from(["batch", "b"]))
    def send(texts: list[str], space: str, call: str) -> None:
        elements = f"{space},{space}".join(texts)
        body = (
            f'{{"sentAt": "x",{space}"batch"{space}:{space}[{elements}]{space}, "context": {{}}}}'
        )
        events = [text.encode() for text in texts]
        sender.post(f"/v1/{call}", body.encode(), "application/json", events=events)

    send()
    sender.check()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:])),
    ],
    ids=["gzip", "deflate", "raw deflate", "gzip of two members"],
)
def test_a_compressed_body_keeps_its_bytes(
    start_dev: StartDev, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    sender = Sender(start_dev(), "events")

    @settings(LIGHTLY, max_examples=25)
    @given(LISTS)
    def send(texts: list[str]) -> None:
        events = [text.encode() for text in texts]
        body = pack(b"[" + b",".join(events) + b"]")
        sender.post("/v1/events", body, "application/json", events=events, encoding=encoding)

    send()
    sender.check()


def test_a_raw_body_keeps_its_bytes_whatever_they_are(dev: Dev) -> None:
    sender = Sender(dev, "blobs")

    @LIGHTLY
    @given(st.binary(min_size=1, max_size=2000), st.sampled_from(["image/png", "application/json"]))
    def send(body: bytes, media: str) -> None:
        sender.post("/v1/raw/blobs", body, media, events=[body])

    send()
    sender.check()
