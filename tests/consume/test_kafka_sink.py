"""
The sink `kafka` against real brokers: every document a record with its bytes, key and headers; what
is refused, down and wrongly declared, in words without secrets and addresses; and nothing produced
where the guard does not permit it.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from ipaddress import ip_network
from itertools import count
from typing import Any, cast

import pytest
import trustme
from confluent_kafka import Message
from confluent_kafka.admin import AclOperation

import mock_kafka
from filing import until
from handing import RUNNERS, fault, hand, kafka_sink, opened, placed
from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
from kafka_users import READ, WRITE, allow, set_password
from links import SILENT, Link
from receiver import receiving
from trackmate_consume.formats import FORMATS
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Down, Refused, Translated, Unfit
from trackmate_consume.sinks import kafka
from trackmate_consume.sinks.kafka import KafkaSink
from trackmate_contract.record import Record, Stamp

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

PARTITIONS = 3
USER, PASSWORD = "trackmate", "canary-7e3b1d"
CREDENTIALS = "spec.sink.kafka.credentialsSecretRef"
TOPIC = "spec.sink.kafka.topic"
SERVERS = "spec.sink.kafka.bootstrapServers"
NOT_TAKEN = (
    "Kafka does not take the user with the password by {}; mend the Secret, or the user in Kafka"
)
HAS = "what Secret 'partner-kafka' has under"
NO_PEM = (
    f"{HAS} 'ca.crt' is not a certificate in PEM; put the authority's there, from BEGIN to END "
    "CERTIFICATE"
)
BOTH = "Secret 'partner-kafka' has a 'ca.crt', and 'tls' is false; remove one of the two"
MISSING = (
    "there is no Secret 'partner-kafka' with a key 'username' in the affiliate's namespace; add it"
)
TOO_LARGE = (
    "answered MSG_SIZE_TOO_LARGE: the document is larger than the topic takes; raise its "
    "max.message.bytes, or make the document smaller in a transform"
)
BLOCKED = (
    "blocked: the address of {!r} is not public, or not known; the platform's allowedNetworks "
    "decide"
)
numbers = count()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def cluster(authority: trustme.CA) -> Iterator[Cluster]:
    with kafka_brokers(secured=True, authority=authority, linked=True) as cluster:
        set_password(cluster, USER, PASSWORD)
        yield cluster


@pytest.fixture
def topic(cluster: Cluster) -> str:
    """One of the test's own, which the user may write to."""
    name = f"bookings-{next(numbers)}"
    cluster.create(name, partitions=PARTITIONS)
    allow(cluster, USER, name, WRITE)
    return name


@pytest.fixture
def secrets(authority: trustme.CA) -> dict[str, str]:
    pem = authority.cert_pem.bytes().decode()
    return {"username": USER, "password": f"{PASSWORD}\n", "ca.crt": pem}


@pytest.fixture
def sink(cluster: Cluster, topic: str, secrets: dict[str, str]) -> KafkaSink:
    return kafka_sink(cluster.bootstrap, topic, secrets=secrets)


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not acknowledged in 3 seconds comes again."""
    short = {"delivery.timeout.ms": 3000, "socket.timeout.ms": 2000}
    monkeypatch.setattr(kafka, "PROMISES", {**kafka.PROMISES, **short})
    monkeypatch.setattr(kafka, "_SURE_S", 3.0)
    monkeypatch.setattr(kafka, "_ASKED_S", 3.0)
    monkeypatch.setattr(kafka, "_STEP_S", 0.5)


def keyed(offset: int, key: str | None, *values: bytes) -> Translated:
    record = Record(
        "events", 0, offset, f"id-{offset}", key, b"{}", Stamp(1_800_000_000_123, "web")
    )
    return Translated(record, tuple(Document(value) for value in values))


def there(cluster: Cluster, topic: str) -> list[Message]:
    return whole_topic(cluster.settings(), topic, partitions=PARTITIONS)


def values(messages: Sequence[Message]) -> list[bytes]:
    return sorted(message.value() or b"" for message in messages)


def headers(message: Message) -> list[tuple[str, bytes]]:
    return cast("list[tuple[str, bytes]]", message.headers())


def refusal(sink: KafkaSink) -> Exception:
    return asyncio.run(fault(hand(sink, placed(0, "a"))))


async def outcome(work: Coroutine[Any, Any, object]) -> Exception | None:
    """What it raises, if it does."""
    try:
        await work
    except (Down, Unfit) as raised:
        return raised
    return None


# what is written


def test_a_document_is_a_record_with_its_bytes_key_and_headers(
    cluster: Cluster, topic: str, *, sink: KafkaSink, run: Callable[..., Any]
) -> None:
    every_byte = bytes(range(256))

    said = run(hand(sink, keyed(7, "ann-ß", every_byte), keyed(8, None, b"")))

    by_value = {message.value(): message for message in there(cluster, topic)}
    assert said == [Outcome.DELIVERED] * 2
    assert set(by_value) == {every_byte, b""}
    assert by_value[every_byte].key() == "ann-ß".encode()
    assert by_value[b""].key() is None
    assert by_value[every_byte].headers() == [
        ("tm-id", b"id-7"),
        ("tm-stream", b"events"),
        ("tm-received", b"1800000000123"),
        ("content-type", b"application/json"),
    ]


def test_several_documents_of_an_event_are_numbered(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    asyncio.run(hand(sink, keyed(1, "ann", b"one", b"two")))

    parts = [
        (message.value(), value)
        for message in there(cluster, topic)
        for name, value in headers(message)
        if name == "tm-part"
    ]
    assert parts == [(b"one", b"0"), (b"two", b"1")]


def test_documents_of_a_key_are_in_one_partition_in_their_order(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    batch = [keyed(n, f"key-{n % 7}", b"%d" % n) for n in range(700)]

    asyncio.run(hand(sink, *batch))

    partitions: dict[bytes, set[int]] = {}
    order: dict[bytes, list[int]] = {}
    for message in there(cluster, topic):
        partitions.setdefault(message.key() or b"", set()).add(message.partition() or 0)
        order.setdefault(message.key() or b"", []).append(int(message.value() or b""))
    assert len(partitions) == 7
    assert all(len(found) == 1 for found in partitions.values())
    assert all(found == sorted(found) for found in order.values())
    assert len({*map(min, partitions.values())}) > 1, "else the order would say nothing"


def test_a_row_of_csv_comes_with_its_names(cluster: Cluster, topic: str, sink: KafkaSink) -> None:
    row = FORMATS["csv"].encode(b'{"a":1,"b":2}', placed(0, "x").record, 0)

    asyncio.run(hand(sink, Translated(placed(0, "x").record, (row,))))

    assert values(there(cluster, topic)) == [b"a,b\r\n1,2"]


# outages


@pytest.mark.usefixtures("soon")
def test_a_silent_network_is_an_outage_and_what_came_again_is_there(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    async def scenario() -> str:
        async with opened(sink):
            await sink.write([placed(0, "a", b"a")])
            with cluster.clients.broken(SILENT):
                said = await fault(sink.write([placed(1, "b", b"b")]))
                again = await fault(sink.write([placed(1, "b", b"b")]))
            assert isinstance(again, Down)
            await sink.write([placed(1, "b", b"b")])
            assert isinstance(said, Down)
            return str(said)

    assert asyncio.run(scenario()) == "no acknowledgement in time"
    assert cluster.clients.held_back > 0, "the fault did not bite"
    assert set(values(there(cluster, topic))) == {b"a", b"b"}


@pytest.mark.usefixtures("soon")
def test_a_broker_that_stops_and_comes_back_goes_on_where_it_was(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    [broker] = cluster.brokers

    async def scenario() -> Exception:
        async with opened(sink):
            await sink.write([placed(0, "a", b"a")])
            await asyncio.to_thread(broker.kill)
            said = await fault(sink.write([placed(1, "b", b"b")]))
            broker.start()
            await asyncio.to_thread(cluster.wait)
            await sink.write([placed(1, "b", b"b")])
            return said

    said = asyncio.run(scenario())

    assert isinstance(said, Down)
    assert "127.0.0.1" not in str(said)
    assert set(values(there(cluster, topic))) == {b"a", b"b"}


def test_a_close_gives_up_what_is_under_way_and_does_not_wait_for_it(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    async def scenario() -> Exception:
        await sink.open()
        await sink.write([placed(0, "a", b"a")])
        before = cluster.clients.held_back
        with cluster.clients.broken(SILENT):
            writing = asyncio.create_task(sink.write([placed(1, "b", b"b")]))
            await until(lambda: cluster.clients.held_back > before, "it is under way")
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            async with asyncio.timeout(kafka._SURE_S / 2):  # noqa: SLF001 - how long it would wait
                await sink.close()
        return await fault(sink.write([placed(2, "c", b"c")]))

    said = asyncio.run(scenario())

    assert isinstance(said, Down)
    assert str(said) == "the sink is closed"
    assert b"a" in values(there(cluster, topic))


@pytest.mark.usefixtures("soon")
def test_a_producer_that_lost_its_sequence_is_replaced() -> None:
    async def scenario(sink: KafkaSink, cluster: mock_kafka.MockKafka) -> list[Down]:
        faults = []
        async with opened(sink):
            await sink.write([placed(0, "a", b"0")])
            cluster.answer(mock_kafka.PRODUCE, mock_kafka.OUT_OF_ORDER_SEQUENCE)
            for number in range(1, 20):
                try:
                    await sink.write([placed(number, "a", b"%d" % number)])
                except Down as down:
                    faults.append(down)
                    await sink.write([placed(number, "a", b"%d" % number)])
                    break
        return faults

    with mock_kafka.mock_kafka("bookings") as cluster:
        faults = asyncio.run(scenario(kafka_sink(cluster.bootstrap), cluster))
        found = whole_topic({"bootstrap.servers": cluster.bootstrap}, "bookings", partitions=4)

    assert [str(one) for one in faults], "the fault did not bite"
    assert len(set(values(found))) >= 2


# refused


def test_a_document_that_is_too_large_for_any_topic_is_refused_before_its_batch(
    cluster: Cluster, topic: str, sink: KafkaSink
) -> None:
    large = b"x" * (8 << 20)

    said = asyncio.run(fault(hand(sink, placed(0, "a"), placed(1, "b", large))))

    assert isinstance(said, Refused)
    assert str(said).startswith("the document is 8388608 bytes, and a record has at most 8388608")
    assert there(cluster, topic) == []


def test_what_the_topic_refuses_is_found_and_the_others_come_once(
    cluster: Cluster, secrets: dict[str, str]
) -> None:
    cluster.create("narrow", partitions=PARTITIONS, max_message_bytes="70000")
    allow(cluster, USER, "narrow", WRITE)
    sink = kafka_sink(cluster.bootstrap, "narrow", secrets=secrets)

    async def halved(batch: Sequence[Translated]) -> list[str]:
        """As the flow does."""
        try:
            await sink.write(batch)
        except Refused as refused:
            if len(batch) == 1:
                return [f"{batch[0].record.id}: {refused}"]
            half = len(batch) // 2
            return [*await halved(batch[:half]), *await halved(batch[half:])]
        return []

    async def scenario() -> list[str]:
        batch = [placed(n, f"id-{n}", b"%d" % n) for n in range(40)]
        batch[13] = placed(13, "id-13", os.urandom(100_000))  # which lz4 makes no smaller
        async with opened(sink):
            return await halved(batch)

    told = asyncio.run(scenario())

    assert told == [f"id-13: {TOO_LARGE}"]
    assert values(there(cluster, "narrow")) == sorted(b"%d" % n for n in range(40) if n != 13)


def test_a_record_that_the_topic_does_not_take_is_refused(
    cluster: Cluster, secrets: dict[str, str]
) -> None:
    cluster.create("compacted", partitions=PARTITIONS, cleanup_policy="compact")
    allow(cluster, USER, "compacted", WRITE)
    sink = kafka_sink(cluster.bootstrap, "compacted", secrets=secrets)

    said = asyncio.run(fault(hand(sink, keyed(0, None, b"no key"))))

    assert isinstance(said, Refused)
    assert str(said) == (
        "answered INVALID_RECORD: the topic does not take such a record; a compacted topic takes "
        "none without a key"
    )


# what is wrongly declared


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "wrong-canary"}, NOT_TAKEN.format("SCRAM-SHA-512")),
        ({"mechanism": "SCRAM-SHA-256"}, NOT_TAKEN.format("SCRAM-SHA-256")),
        (
            {"mechanism": "canary"},
            f"{HAS} 'mechanism' is not there; write one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN",
        ),
        ({"tls": "canary"}, f"{HAS} 'tls' is not true or false; write one"),
        ({"tls": "false"}, BOTH),
        ({"ca.crt": "canary"}, NO_PEM),
        ({"username": None}, MISSING),
    ],
)
def test_a_secret_that_does_not_do_is_said_without_it(
    cluster: Cluster, topic: str, secrets: dict[str, str], *, change: Any, told: str
) -> None:
    found = {name: value for name, value in (secrets | change).items() if value is not None}

    said = refusal(kafka_sink(cluster.bootstrap, topic, secrets=found))

    assert isinstance(said, Unfit)
    assert (said.path, str(said)) == (CREDENTIALS, told)
    assert "canary" not in str(said)


def test_plain_without_tls_shows_no_password(cluster: Cluster, topic: str) -> None:
    login = {"username": USER, "password": PASSWORD, "mechanism": "PLAIN", "tls": "false"}

    said = refusal(kafka_sink(cluster.bootstrap, topic, secrets=login))

    assert isinstance(said, Unfit)
    assert str(said) == (
        "Secret 'partner-kafka' asks for PLAIN without TLS, which shows the password to whoever "
        "listens; remove its 'tls', or take SCRAM-SHA-512"
    )


@pytest.mark.usefixtures("soon")
def test_a_user_without_a_right_and_a_topic_that_is_not_there_are_said_and_heal(
    cluster: Cluster, secrets: dict[str, str]
) -> None:
    cluster.create("closed", partitions=PARTITIONS)
    sink = kafka_sink(cluster.bootstrap, "closed", secrets=secrets)
    not_let = (
        "Kafka does not let the user write to the topic 'closed'; allow it Write on it, or mend "
        "the name"
    )

    async def scenario() -> list[Exception]:
        said = [await fault(sink.open())]
        allow(cluster, USER, "closed", READ, AclOperation.DESCRIBE)
        said.append(await fault(sink.open()))
        allow(cluster, USER, "closed", WRITE)
        async with opened(sink):
            await sink.write([placed(0, "a", b"a")])
        return said

    said = asyncio.run(scenario())

    assert [type(one) for one in said] == [Unfit, Unfit]
    assert [str(one) for one in said] == [not_let] * 2
    assert values(there(cluster, "closed")) == [b"a"]
    allow(cluster, USER, "nowhere", WRITE)
    told = refusal(kafka_sink(cluster.bootstrap, "nowhere", secrets=secrets))
    assert isinstance(told, Unfit)
    assert (told.path, str(told)) == (
        TOPIC,
        "Kafka has no topic 'nowhere'; make it, or mend the name",
    )


@pytest.mark.usefixtures("soon")
def test_a_password_that_changes_is_down_with_the_field_and_heals(
    cluster: Cluster, topic: str, authority: trustme.CA
) -> None:
    set_password(cluster, "rotating", "first")
    allow(cluster, "rotating", topic, WRITE)
    pem = authority.cert_pem.bytes().decode()
    held = {"username": "rotating", "password": "first", "ca.crt": pem}
    sink = kafka_sink(cluster.bootstrap, topic, secrets=held)

    async def scenario() -> Exception:
        async with opened(sink):
            await sink.write([placed(0, "a", b"a")])
            set_password(cluster, "rotating", "second")
            cluster.clients.cut()
            said = await fault(sink.write([placed(1, "b", b"b")]))
            held["password"] = "second"
            await sink.write([placed(1, "b", b"b")])
            return said

    said = asyncio.run(scenario())

    assert isinstance(said, Down)
    assert str(said).startswith(f"{CREDENTIALS}: Kafka does not take the user")
    assert set(values(there(cluster, topic))) == {b"a", b"b"}


@pytest.mark.usefixtures("soon")
def test_a_certificate_of_a_stranger_is_not_believed(
    cluster: Cluster, topic: str, secrets: dict[str, str]
) -> None:
    stranger = trustme.CA().cert_pem.bytes().decode()

    said = refusal(kafka_sink(cluster.bootstrap, topic, secrets=secrets | {"ca.crt": stranger}))

    assert isinstance(said, Down)
    assert str(said) == (
        "its certificate is not for this name, or not of a known authority; put that under ca.crt "
        "into the Secret to trust it"
    )


@pytest.mark.usefixtures("soon")
def test_no_login_where_one_is_asked_for_is_an_outage_in_words(
    cluster: Cluster, topic: str
) -> None:
    said = refusal(kafka_sink(cluster.bootstrap, topic))

    assert isinstance(said, Down)
    assert "127.0.0.1" not in str(said)


# where it may lead


def test_a_forbidden_server_is_not_connected_to() -> None:
    with receiving() as probe:
        for host in ("127.0.0.1", "localhost", "0x7f.1"):
            said = refusal(kafka_sink(f"{host}:{probe.port}", allowed=()))
            assert isinstance(said, Unfit)
            assert said.path == SERVERS
            assert BLOCKED.format(host) in str(said)
        assert probe.connections == 0


@pytest.mark.parametrize(("allowed", "taken"), [("127.0.0.2/32", False), ("127.0.0.0/8", True)])
def test_nothing_is_produced_while_a_broker_is_at_a_forbidden_address(
    cluster: Cluster, topic: str, secrets: dict[str, str], *, allowed: str, taken: bool
) -> None:
    """A server that may be asked can name brokers anywhere."""
    server = Link(cluster.clients.links[0].server, at="127.0.0.2")
    sink = kafka_sink(
        f"127.0.0.2:{server.port}", topic, secrets=secrets, allowed=[ip_network(allowed)]
    )

    said = asyncio.run(outcome(hand(sink, placed(0, "a", b"a"))))
    server.end()

    assert (said is None) is taken
    assert values(there(cluster, topic)) == ([b"a"] if taken else [])
    if said is not None:
        assert isinstance(said, Unfit)
        assert said.path == SERVERS
        assert BLOCKED.format("127.0.0.1") in str(said)


def test_where_brokers_are_is_judged_again_while_it_writes(
    cluster: Cluster, topic: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_LOOK_AGAIN_S", 0.0)
    allowed = [ip_network("127.0.0.0/8")]
    sink = kafka_sink(cluster.bootstrap, topic, secrets=secrets, allowed=allowed)

    async def scenario() -> Exception:
        async with opened(sink):
            await sink.write([placed(0, "a", b"a")])
            sink._allowed = ()  # noqa: SLF001 - as if the brokers had moved
            return await fault(sink.write([placed(1, "b", b"b")]))

    said = asyncio.run(scenario())

    assert isinstance(said, Down)
    assert BLOCKED.format("127.0.0.1") in str(said)
    assert values(there(cluster, topic)) == [b"a"]


def test_a_public_server_is_asked_with_tls_alone() -> None:
    async def public(_: str) -> Sequence[str]:
        return ["93.184.216.34"]

    said = refusal(kafka_sink("kafka.example:9092", allowed=(), lookup=public))

    assert isinstance(said, Unfit)
    assert str(said) == (
        "kafka.example:9092 is blocked: public addresses are asked with TLS, on port 443, 9092, "
        "9093, 9094, 9096 or 9196 alone; the platform's allowedNetworks decide what else"
    )
