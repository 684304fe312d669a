"""
What belongs to whom, kept beside the data: the compacted topic `trackmate.registry`, read as a
whole and then held in memory.

One operator writes it. Whoever opens it to write takes a transactional id over (KIP-98), and Kafka
refuses every write of whoever had it before: an operator that was stopped for a minute, and still
takes itself for the leader, cannot undo what its successor wrote. So it must be opened by the
leader alone, and after any fault again, which first reads what is there.
"""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from trackmate_contract.keybook import from_document, to_document
from trackmate_operator import settings
from trackmate_operator.backend import Down
from trackmate_operator.kafka import topics
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.plan.kafka import Topic
from trackmate_operator.registration import REGISTRY, Registration

Value = TypeVar("Value")

_log = logging.getLogger("trackmate.kafka")

_WRITTEN_S = 12.0
_TRANSACTION_MS = 10_000
_READ_S = 10.0  # without a record
_SEGMENT_MS = 24 * 3600 * 1000  # what was overwritten is gone a day later
_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - it has no other name
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: f"Read and Write on the topic {REGISTRY!r}",
    KafkaError.GROUP_AUTHORIZATION_FAILED: f"Read on the group {REGISTRY!r}",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        f"Write on the transactional id {REGISTRY!r}"
    ),
}


class Fenced(Down):
    """Another operator writes now; this one has nothing more to say."""


@dataclass(eq=False)
class _Write:
    name: str
    found: Registration | None
    """None takes it away."""
    fault: Exception | None = None


class Registry:
    """Every method raises Down. To be closed."""

    def __init__(self, admin: Admin, kept: settings.Topics) -> None:
        self._admin = admin
        self._topic = _topic(kept)
        self._found: Mapping[str, Registration] = {}
        self._is_read = False
        self._unread = f"The topic {REGISTRY!r} was not read yet."
        self._producer: Producer | None = None
        self._turn = threading.Lock()
        self._waiting: list[_Write] = []
        self._writing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether this one writes; for all it knows."""
        return self._producer is not None

    async def open(self) -> None:
        """Make the topic if it is missing, be the one that writes, and read all."""
        try:
            await self._make()
            await self._on_thread(self._take_over)
            await self.refresh()
        except Down as why:
            self._unread = str(why)
            raise

    async def refresh(self) -> None:
        """Read all that is there by now; whoever writes."""
        await self._on_thread(self._read)

    async def find(self, name: str) -> Registration | None:
        return (await self.all()).get(name)

    async def all(self) -> Mapping[str, Registration]:
        """Of every affiliate that anything is kept for, by its name; at once."""
        if not self._is_read:
            raise Down(self._unread)
        return self._found

    async def save(self, found: Registration) -> None:
        """It is kept when this returns, and found."""
        await self._write(found.name, found)

    async def forget(self, name: str) -> None:
        """Nothing is kept for this name any more."""
        await self._write(name, None)

    async def close(self) -> None:
        await asyncio.to_thread(self._let_go)

    async def _make(self) -> None:
        found = (await self._admin.topics([REGISTRY])).get(REGISTRY)
        if found is None:
            refusals = await self._admin.create([self._topic])
            for fault in refusals.values():
                if fault.code != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise Down(f"Kafka does not make the topic {REGISTRY!r}: {fault}")
            return
        policy = found.config.get("cleanup.policy")
        if policy != "compact":
            raise Down(
                f"Topic {REGISTRY!r} has cleanup.policy={policy}, and would forget what belongs to "
                "whom; see that it is whole, and set cleanup.policy=compact."
            )
        if found.partitions != 1:
            raise Down(
                f"Topic {REGISTRY!r} has {found.partitions} partitions, and is to have 1; it is "
                "not ours as it is."
            )
        drift = topics.drifted(self._topic, found)
        for fault in (await self._admin.configure({REGISTRY: drift}) if drift else {}).values():
            raise Down(f"Kafka does not set what is to be set of the topic {REGISTRY!r}: {fault}")

    async def _write(self, name: str, found: Registration | None) -> None:
        """All that wait for a transaction share the next one."""
        write = _Write(name, found)
        self._waiting.append(write)
        try:
            async with self._writing:
                batch: list[_Write] = []
                if write in self._waiting:
                    batch, self._waiting = self._waiting, []
                await self._on_thread(lambda: self._commit(batch, write))
        finally:  # cancelled before its turn
            if write in self._waiting:
                self._waiting.remove(write)

    async def _on_thread(self, work: Callable[[], Value]) -> Value:
        """A cancelled one goes on to its end, and the next waits for it."""
        since = time.monotonic()
        try:
            return await asyncio.to_thread(work)
        except KafkaException as fault:
            error = fault.args[0]
        if error.code() in _FENCED:
            raise Fenced("Another operator writes the registry now, and this one no more.")
        if error.code() in _RIGHTS:
            raise Down(
                f"Kafka does not let the operator's user {self._admin.user!r} use the registry; "
                f"allow it {_RIGHTS[error.code()]}."
            )
        raise await self._admin.down(since, error.str())

    # on a thread

    def _take_over(self) -> None:
        self._let_go()
        with self._turn:
            producer = Producer(
                {
                    **self._admin.settings,
                    "log_level": 0,
                    "logger": _log,  # of what is fatal, else said on stderr
                    "transactional.id": REGISTRY,
                    "transaction.timeout.ms": _TRANSACTION_MS,
                    "allow.auto.create.topics": False,
                }
            )
            try:
                producer.init_transactions(_WRITTEN_S)
            except KafkaException:
                del producer
                raise
            self._producer = producer

    def _commit(self, batch: Sequence[_Write], asked: _Write) -> None:
        """Raises what became of the one that asks, in this batch or one before."""
        with self._turn:
            if batch:
                self._settle(batch)
        if asked.fault is not None:
            raise asked.fault

    def _settle(self, batch: Sequence[_Write]) -> None:
        if self._producer is None:
            fault: Exception = Down("The registry is not open to write; it is opened again soon.")
        else:
            try:
                _transact(self._producer, batch)
            except KafkaException as refusal:  # what became of it is read when it is opened again
                # without the frames that hold the producer: it ends here, not on the event loop,
                # and close() would try to abort first
                fault = refusal.with_traceback(None)
                self._producer = None
            else:
                self._found = _after(self._found, batch)
                return
        for write in batch:
            write.fault = fault

    def _let_go(self) -> None:
        with self._turn:
            if self._producer is not None:
                self._producer.close()
                self._producer = None

    def _read(self) -> None:
        found: dict[str, Registration] = {}
        with self._turn, self._reader() as consumer:
            for message in _records(consumer):
                name = (message.key() or b"").decode("utf-8", "replace")
                value = message.value()
                if value is None:
                    found.pop(name, None)
                else:
                    found[name] = _registration(name, value, message.offset() or 0)
            self._found, self._is_read = found, True

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Consumer]:
        of_this = {
            "log_level": 0,
            "fetch.wait.max.ms": 10,  # the end is told after a fetch that found nothing
            "group.id": REGISTRY,  # it is neither joined nor committed to
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
        }
        with closing(Consumer({**self._admin.settings, **of_this})) as consumer:
            consumer.assign([TopicPartition(REGISTRY, 0, OFFSET_BEGINNING)])
            yield consumer


def _transact(producer: Producer, batch: Sequence[_Write]) -> None:
    producer.begin_transaction()
    for write in batch:
        value = None if write.found is None else _document(write.found)
        producer.produce(REGISTRY, key=write.name.encode(), value=value, partition=0)
    producer.commit_transaction(_WRITTEN_S)


def _after(
    before: Mapping[str, Registration], batch: Sequence[_Write]
) -> Mapping[str, Registration]:
    found = dict(before)
    for write in batch:
        found.pop(write.name, None)
        if write.found is not None:
            found[write.name] = write.found
    return found


def _records(consumer: Consumer) -> Iterator[Message]:
    """To the end of now."""
    while True:
        message = consumer.poll(_READ_S)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - no other name
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - it has no other name
            return
        else:
            raise KafkaException(error)


def _topic(kept: settings.Topics) -> Topic:
    config = {
        "cleanup.policy": "compact",
        "min.insync.replicas": str(kept.min_insync_replicas),
        "unclean.leader.election.enable": "false",
        "segment.ms": str(_SEGMENT_MS),
    }
    return Topic(REGISTRY, 1, kept.replicas, config)


def _document(found: Registration) -> bytes:
    document = {
        "id": found.id,
        "topics": {**found.topics},
        "book": to_document(found.book),
        "retained": found.retained,
        "lost": [*found.lost],
    }
    return json.dumps(document).encode()


def _registration(name: str, value: bytes, offset: int) -> Registration:
    try:
        document = json.loads(value)
        topics = document["topics"]
        lost = document.get("lost", [])  # older records have none
        strings = [document["id"], *topics, *topics.values(), *lost]
        retained = document["retained"]
        book = from_document(document["book"])
    except (ValueError, TypeError, KeyError, AttributeError):
        strings, lost, retained, book = [None], [], None, ()
    if not all(isinstance(one, str) for one in strings) or not isinstance(retained, bool):
        raise Down(
            f"Record {offset} of the topic {REGISTRY!r}, of {name!r}, cannot be read: somebody "
            "else wrote it. Write what belongs there under the same key; until then nothing is "
            "done for any affiliate."
        )
    return Registration(name, document["id"], {**topics}, book, retained=retained, lost=(*lost,))
