"""
The sink `kafka`: every document a record of one topic of somebody else's Kafka, safe once all of
its in-sync replicas have it.

librdkafka resolves names and connects by itself, so the guard (`guard.py`) cannot hand it
addresses: it judges where the declared servers and then every broker that they name lead to, before
anything is produced and again each minute. `docs/sinks-kafka.md` is the page for users.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from trackmate_consume.formats import Format
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Down, Refused, Translated, Unfit
from trackmate_consume.sinks import kafka_faults
from trackmate_consume.sinks.guard import Blocked, Guard, Way
from trackmate_consume.sinks.kafka_login import Login, login_of
from trackmate_consume.sinks.resolving import Lookup, judged, spelled_out, system_lookup
from trackmate_consume.sinks.secret import Secret
from trackmate_contract.pipeline import Kafka
from trackmate_contract.record import Record
from trackmate_programs.kafka_dying import RAISED, error_of, let_go

Done = TypeVar("Done")
Place = tuple[str, int, int]

_SURE_S = 30.0  # until all replicas have a record, or it is tried again
_ASKED_S = 10.0
_STEP_S = 2.0  # between two looks at what librdkafka complains of
_LOOK_AGAIN_S = 60.0  # where brokers are may change at any time
_MOST = 8 << 20  # bytes of a record
_AROUND = 128  # bytes that the protocol puts around a record, at most

_log = logging.getLogger("trackmate.kafka")

PROMISES: Mapping[str, Any] = {
    "client.id": "trackmate-consume",
    "log_level": 0,  # its words have addresses
    "enable.idempotence": True,  # no repeat by the client itself, order kept through its retries
    "acks": "all",
    "delivery.timeout.ms": int(_SURE_S * 1000),
    "socket.timeout.ms": int(_ASKED_S * 1000),
    "socket.keepalive.enable": True,
    "allow.auto.create.topics": False,  # a typo would make a topic
    "partitioner": "murmur2_random",  # as Java's clients, so that others find a key's partition
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": 65_536,  # a topic with small max.message.bytes refuses batches, not records
    "message.max.bytes": _MOST,
}
_LOOKING = {
    name: PROMISES[name]
    for name in ("client.id", "log_level", "socket.timeout.ms", "allow.auto.create.topics")
}

_WAY = Way(
    "with TLS",
    (443, 9092, 9093, 9094, 9096, 9196),  # routes of OpenShift; brokers; SCRAM at Amazon MSK
)


class _Put(NamedTuple):
    """A record to be, and which event of the batch it is of."""

    event: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class KafkaSink:
    """
    Writes to one topic. `allowed` are the networks that are reached beside public addresses;
    `secret` is asked at every `open`, and what it gives is kept in memory alone. All that blocks is
    done by one thread, in order: a write that is cancelled ends before the next begins.
    """

    lanes = 1

    _login: Login
    """There once it was opened."""

    def __init__(
        self,
        spec: Kafka,
        form: Format,
        *,
        secret: Secret,
        allowed: Sequence[IPv4Network | IPv6Network] = (),
        lookup: Lookup = system_lookup,
    ) -> None:
        self._spec = spec
        self._form = form
        self._secret = secret
        self._allowed = tuple(allowed)
        self._lookup = lookup
        self._thread = ThreadPoolExecutor(1, "kafka sink")
        self._producer: Producer | None = None
        self._complaints: list[KafkaError] = []
        self._looked = 0.0
        self._there: set[Place] = set()
        """Events of a batch that failed whose documents are safe: they come again."""
        self._ending = False

    async def open(self) -> None:
        """Log in, and look at the topic and where its brokers are."""
        await self._let_go()
        self._login = login_of(self._spec, self._secret)
        servers = [_parted(server) for server in self._spec.bootstrap_servers.split(",")]
        await self._judge(servers)
        self._complaints = []
        probe = Producer(self._settings(_LOOKING))
        try:
            await self._look(probe)  # may connect to what it is told of; nothing is produced
        finally:
            await self._done(partial(let_go, probe))
        await self._done(self._check_rights)
        self._producer = Producer(self._settings(PROMISES))

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """Write what is not there yet."""
        puts = [
            put
            for number, one in enumerate(batch)
            if _place(one.record) not in self._there
            for put in self._puts(number, one)
        ]
        for put in puts:
            _check_size(put)
        try:
            producer = await self._ready()
            failed = await self._done(partial(self._produce, producer, puts))
        except (Down, Unfit) as fault:
            await self._let_go()
            raise _as_down(fault) from None
        if failed:
            raise await self._fault(batch, failed)
        self._there.difference_update(_place(one.record) for one in batch)
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """What is under way is given up: it comes again."""
        self._ending = True
        await self._let_go()
        self._thread.shutdown(wait=False)

    async def _done(self, work: Callable[[], Done]) -> Done:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()  # else an old copy could come behind a newer event of its key
            await self._done(partial(let_go, producer))

    async def _ready(self) -> Producer:
        if self._ending:
            raise Down("the sink is closed")
        if self._producer is None:
            await self.open()
        elif time.monotonic() - self._looked > _LOOK_AGAIN_S:
            await self._look(self._producer)
        assert self._producer is not None  # noqa: S101 - it was opened
        return self._producer

    async def _fault(
        self, batch: Sequence[Translated], failed: Mapping[int, KafkaError]
    ) -> Exception:
        """What a write raises of these events' errors; what is safe is not written again."""
        self._there.update(_safe(batch, failed))
        refused = kafka_faults.refused([*failed.values()])
        if refused is not None:
            return refused
        fault = self._in_words([*failed.values()])
        await self._let_go()
        return _as_down(fault)

    # where it leads

    async def _judge(self, servers: Sequence[tuple[str, int]]) -> None:
        for host, port in servers:
            guard = Guard(host, port, self._login.encrypted, self._allowed, _WAY)
            try:
                address = spelled_out(host)
                if address is None:
                    await judged(host, guard, self._lookup)
                else:
                    guard.check([address])
            except Blocked as fault:
                raise Unfit(kafka_faults.SERVERS, f"{host}:{port} is {fault}") from None

    async def _look(self, client: Producer) -> None:
        """Ask for the topic and the brokers, and judge where they are."""
        brokers = await self._done(partial(self._brokers, client))
        await self._judge(brokers)
        self._looked = time.monotonic()

    # what follows runs on the thread

    def _brokers(self, client: Producer) -> Sequence[tuple[str, int]]:
        """Every broker of the cluster; they are connected to when they are needed."""
        metadata = self._told(client)
        error = metadata.topics[self._spec.topic].error
        if error is not None:
            raise self._in_words([error])
        return [(str(one.host), int(one.port)) for one in metadata.brokers.values()]

    def _told(self, client: Producer) -> Any:
        until = time.monotonic() + _ASKED_S
        while True:
            try:
                return client.list_topics(self._spec.topic, timeout=_STEP_S)
            except KafkaException as fault:
                client.poll(0)  # what it complains of
                final = any(one.code() in kafka_faults.FINAL for one in self._complaints)
                if final or self._ending or time.monotonic() > until:
                    raise self._in_words([fault.args[0]]) from None

    def _check_rights(self) -> None:
        """Where the brokers say what the user may do."""
        topic = self._spec.topic
        admin = AdminClient(self._settings(_LOOKING))
        asked = admin.describe_topics(
            TopicCollection([topic]), include_authorized_operations=True, request_timeout=_STEP_S
        )
        try:
            may = asked[topic].result().authorized_operations
        except KafkaException:  # not every Kafka knows the question
            return
        if may and AclOperation.WRITE not in may:
            raise kafka_faults.not_allowed(topic)

    def _produce(self, producer: Producer, puts: Sequence[_Put]) -> dict[int, KafkaError]:
        """Produce, and wait for the acknowledgements; return the events of which not all came."""
        self._complaints.clear()
        waiting = {number: put.event for number, put in enumerate(puts)}
        failed: dict[int, KafkaError] = {}

        def delivered(number: int, error: KafkaError | None, _: Message) -> None:
            event = waiting.pop(number)
            if error is not None:
                failed.setdefault(event, error)

        try:
            for number, put in enumerate(puts):
                self._put(producer, put, partial(delivered, number))
            producer.flush(_SURE_S + 1)
        except RAISED as fault:
            failed |= dict.fromkeys(waiting.values(), error_of(fault))
        late = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001 - it has no other name
        return dict.fromkeys(waiting.values(), late) | failed

    def _put(self, producer: Producer, put: _Put, delivered: Callable[..., None]) -> None:
        how: dict[str, Any] = {"on_delivery": delivered, "headers": put.headers}
        try:
            producer.produce(self._spec.topic, put.value, put.key, **how)
        except BufferError:  # more than the queue holds
            producer.flush(_SURE_S + 1)
            producer.produce(self._spec.topic, put.value, put.key, **how)

    # what it is made of

    def _settings(self, promises: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._login.client,
            **promises,
            "bootstrap.servers": self._spec.bootstrap_servers,
            "error_cb": self._complaints.append,
            "logger": _log,  # else it would write to standard error
        }

    def _in_words(self, errors: Sequence[KafkaError]) -> Down | Unfit:
        said = [*errors, *self._complaints]
        for error in said:
            unfit = kafka_faults.unfit(error, self._spec.topic, self._login.mechanism)
            if unfit is not None:
                return unfit
        return kafka_faults.down(said)

    def _puts(self, event: int, translated: Translated) -> Iterator[_Put]:
        record, documents = translated
        key = None if record.key is None else record.key.encode()
        headers = [
            ("tm-id", record.id.encode()),
            ("tm-stream", record.stream.encode()),
            ("tm-received", b"%d" % record.stamp.received_ms),
            ("content-type", self._form.content_type.encode()),
        ]
        for part, document in enumerate(documents):
            more = [("tm-part", b"%d" % part)] if len(documents) > 1 else []
            yield _Put(event, key, _value(document), [*headers, *more])


def _value(document: Document) -> bytes:
    return document.head + b"\r\n" + document.value if document.head else document.value


def _check_size(put: _Put) -> None:
    """Before anything of a batch is produced. Raises Refused."""
    headers = sum(len(name) + len(value) for name, value in put.headers)
    size = len(put.value) + len(put.key or b"") + headers + _AROUND
    if size > _MOST:
        raise Refused(
            f"the document is {len(put.value)} bytes, and a record has at most {_MOST} with its "
            "key and headers; make it smaller in a transform"
        )


def _safe(batch: Sequence[Translated], failed: Mapping[int, KafkaError]) -> Iterator[Place]:
    """The events that are there; not those behind a failed one of their key: they come after it."""
    keys = set()
    for number, (record, _) in enumerate(batch):
        if number in failed:
            keys.add(record.key)
        elif record.key is None or record.key not in keys:
            yield _place(record)


def _place(record: Record) -> Place:
    return record.stream, record.partition, record.offset


def _parted(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host, int(port)


def _as_down(fault: Down | Unfit) -> Down:
    """What a write raises: what was fit once may be so again."""
    return Down(f"{fault.path}: {fault}") if isinstance(fault, Unfit) else fault
