"""
The backbone on Kafka: the log is topics, positions and books are committed offsets, dead letters a
topic. Documents, keys and what people ask for stay in the affiliate's file.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from trackmate.backbone import STORE, Group, Reads, Unready, Wanted
from trackmate.embedded.books import documents_missing
from trackmate.embedded.database import Database
from trackmate.embedded.explaining import MOST, has_document, no_document
from trackmate.kafka import viewing
from trackmate.kafka.asking import FileAsking
from trackmate.kafka.topics import Topics
from trackmate.kafka.viewing import Onlooker
from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_ledger import Edges
from trackmate_consume.kafka_positions import Position
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_standing import Books, KafkaStanding
from trackmate_consume.ledger import Ledger, Place, balance
from trackmate_consume.letterbox import Origin
from trackmate_consume.letters import DeadLetters, Kept
from trackmate_consume.pipeline import Asked, Replays
from trackmate_consume.sink import Down
from trackmate_consume.source import Source
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.names import dead_letter_topic, topic
from trackmate_contract.record import Record
from trackmate_ingest.kafka_log import KafkaLog
from trackmate_ingest.kafka_topics import RELAXED
from trackmate_ingest.log import Log

_ENOUGH = 3  # replicas, so that one broker may fail
_SESSION_MS = 6000  # the least that brokers allow: after a kill -9 one starts again and waits


class KafkaGroup:
    """A pipeline's standing. Keeps trackmate.backbone.Group."""

    def __init__(
        self, reads: Reads, standing: KafkaStanding, asking: FileAsking, log_id: str
    ) -> None:
        self.reads = reads
        self.log_id = log_id
        self.standing = standing
        self.letters: DeadLetters = standing.letters
        self.replays: Replays = standing.replays
        self._asking = asking

    def source(self) -> Source:
        return self.standing.source()

    async def ask(self, asked: Asked) -> bool:
        return await self._asking.ask(asked)

    def lag_seconds(self) -> float:
        oldest_ms = self.standing.figures.oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)

    def kept(self, *, after: int, most: int) -> list[Kept]:
        return self.standing.box.letters(after=after, most=most)

    def one(self, number: int) -> Kept | None:
        return self.standing.box.letter(number)

    def numbers(self, wanted: Sequence[int] | None) -> set[int]:
        with self.standing.box.read() as box:
            there = {letter.number for letter in box.waiting.values()}
        return there if wanted is None else there & set(wanted)

    def waiting(self) -> int:
        """As of the last look at the books or the letters, which whoever asks has just had."""
        with self.standing.box.read(0) as box:
            return len(box.waiting)

    def latest_replay(self) -> dict[str, Any] | None:
        latest = self._asking.latest()
        if latest is None:
            return None
        progress = self.standing.replays.latest()
        if progress is None or progress.id != latest["id"]:
            return latest
        return {**latest, "events": progress.events}

    def close(self) -> None:
        self.standing.close()


class KafkaBackbone:
    """Keeps trackmate.backbone.Backbone."""

    def __init__(self, affiliate: str, database: Database, bootstrap: str) -> None:
        self._affiliate = affiliate
        self._database = database
        self._settings: Mapping[str, Any] = {"bootstrap.servers": bootstrap}
        self._reading = {**self._settings, "session.timeout.ms": _SESSION_MS}
        self._topics = Topics(bootstrap)
        self._groups = Groups(affiliate, lambda: self._settings)
        self._log = KafkaLog(affiliate, self._settings)
        self.log: Log = self._log
        self.note = ""
        self._streams: tuple[str, ...] = ()

    async def follow(self, affiliate: Affiliate) -> None:
        replicas = await asyncio.to_thread(self._topics.carry, affiliate)
        self.note = "" if replicas >= _ENOUGH else RELAXED
        self._streams = tuple(stream.name for stream in affiliate.spec.streams)

    async def group(self, reads: Reads, start: str | datetime) -> KafkaGroup:
        await asyncio.to_thread(self._topics.carry_letters, self._affiliate, reads.pipeline)
        streams = self._streams if reads.stream is None else (reads.stream,)
        reading = Reading(self._affiliate, reads.pipeline, streams, start)
        asking = FileAsking(self._database, reads.pipeline)
        standing = KafkaStanding(reading, lambda: self._reading, self._groups, asking)
        name = topic(self._affiliate, streams[0])
        try:
            log_id = await asyncio.to_thread(self._groups.topic_id, name)
        except Down as fault:
            raise Unready(f"the topic {name!r} was not found: {fault}") from None
        return KafkaGroup(reads, standing, asking, log_id)

    async def streams(self) -> set[str]:
        try:
            retained = await asyncio.to_thread(self._topics.streams, self._affiliate)
        except Unready as fault:
            raise Down(str(fault)) from None
        return {*self._streams, *retained}

    def ledger(self, groups: Sequence[Group]) -> Ledger:
        """Positions before ends: what is settled is then never beyond what is accepted."""
        ours = [group for group in groups if isinstance(group, KafkaGroup)]
        names = {topic(self._affiliate, stream): stream for stream in self._streams}
        dead = [dead_letter_topic(self._affiliate, group.reads.pipeline) for group in ours]
        firsts = self._groups.beginnings(names)
        positions = [self._groups.positions(group.standing.reading.group) for group in ours]
        ends = self._groups.ends([*names, *dead])
        edges = Edges(_by_place(firsts, names), _by_place(ends, names))
        books = [
            group.standing.books(found, edges, ends.get((name, 0), 0))
            for group, found, name in zip(ours, positions, dead, strict=True)
        ]
        summed = balance(sum(edges.ends.values()), [one.line for one in books])
        faults = [*summed.faults, *self._faults(books)]
        for group, settled in zip(ours, positions, strict=True):
            if faults and group.reads.pipeline == STORE:
                faults += islice(self._without_document(group, settled), MOST)
        return replace(summed, faults=tuple(faults))

    def _faults(self, books: Sequence[Books]) -> list[str]:
        with contextlib.closing(self._database.reader()) as reader:
            stored = reader.execute("SELECT count(*) FROM documents").fetchone()[0]
        missing = [
            fault
            for one in books
            if one.line.name == STORE and (fault := documents_missing(one.line, stored))
        ]
        return [*missing, *(fault for one in books for fault in one.faults)]

    def _without_document(
        self, group: KafkaGroup, settled: Mapping[Place, Position]
    ) -> Iterator[str]:
        """The events that `store` has settled and that are not in the store; reads the topics."""
        onlooker = Onlooker(self._settings, self._shown(None))
        with (
            group.standing.box.read() as box,
            contextlib.closing(onlooker),
            contextlib.closing(self._database.reader()) as reader,
        ):
            for record in onlooker.all():
                position = settled.get((record.stream, record.partition))
                if position is None or record.offset >= position.next:
                    continue
                dead = Origin(record.stream, record.partition, record.offset) in box.waiting
                if not dead and not has_document(reader, record):
                    yield no_document(record)

    def records(self, wanted: Wanted, closing: asyncio.Event) -> AsyncIterator[Sequence[Record]]:
        return viewing.records(self._settings, self._shown(wanted.stream), wanted, closing)

    def newest(
        self, closing: asyncio.Event, *, most: int, every_s: float, at_most_s: float
    ) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        return viewing.newest(
            self._settings,
            self._shown(None),
            closing,
            most=most,
            every_s=every_s,
            at_most_s=at_most_s,
        )

    def _shown(self, stream: str | None) -> dict[str, str]:
        streams = self._streams if stream is None else (stream,)
        return {topic(self._affiliate, name): name for name in streams}

    async def close(self) -> None:
        await self._log.close()
        await asyncio.to_thread(self._groups.close)


def _by_place(offsets: Mapping[tuple[str, int], int], names: Mapping[str, str]) -> dict[Place, int]:
    return {
        (names[name], number): offset for (name, number), offset in offsets.items() if name in names
    }
