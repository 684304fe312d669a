"""
The source on Kafka: a member of the pipeline's consumer group, on a thread of its own that never
stops polling, whatever the sink does. Positions and books are committed in one write, partition by
partition (`kafka_positions`).

When partitions are taken away, what was handed out of them may settle first; what does not comes
again at whoever has them next.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from trackmate_consume.kafka_held import Held
from trackmate_consume.kafka_positions import (
    Pause,
    Position,
    Unreadable,
    from_metadata,
    to_metadata,
)
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_records import record_of
from trackmate_consume.ledger import Place, Settled, Verdict
from trackmate_consume.sink import Down
from trackmate_consume.source import Ended, Fetched
from trackmate_contract.quantity import epoch_ms
from trackmate_contract.record import Record

_MOST = 1000  # records that wait to be taken
_MOST_BYTES = 16 << 20  # of them
_POLL_S = 0.1
_PATIENCE_S = 5.0  # that a reader which takes nothing is waited for before partitions are paused
_ASKED_S = 10.0  # for an answer of the brokers
_MOST_AGAIN = 5  # times in a row that a record is asked for which does not come as it was written
_SESSION_MS = 10_000  # until others take over from a process that was killed
_LEAVE_S = 5.0  # that leaving the group may take; after that it is as if it had been killed
_SETTLE_S = 20.0  # that a partition which is taken away waits for what was handed out of it

_log = logging.getLogger("trackmate.consume")
_kafka_log = logging.getLogger("trackmate.kafka")  # what librdkafka says by itself

Settings = Mapping[str, Any]
"""Of librdkafka, by its own names."""

PROMISES: Settings = {
    "enable.auto.commit": False,  # positions move with what is settled, and with their books
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a position that retention has passed is said and counted
    "check.crcs": True,
    "allow.auto.create.topics": False,
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": 8192,
    "max.poll.interval.ms": 300_000,
    "topic.metadata.refresh.interval.ms": 30_000,  # how late partitions that are added are seen
}


class _Refused(Exception):  # noqa: N818 - what happened
    """Kafka refused what a callback asked of it."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.error = error


_Callback = Callable[[Consumer, list[TopicPartition]], None]


def _catchable(call: _Callback) -> _Callback:
    """
    A KafkaException that leaves a callback comes out of poll() as a bare KafkaError, which is no
    exception: no `except` catches it, and the thread would end unseen.
    """

    def called(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            call(consumer, partitions)
        except KafkaException as fault:
            raise _Refused(fault.args[0]) from None

    return called


class Unsound(Ended):
    """The log is not what was read before, or cannot be read as it was written."""


class Reassigned(Ended):
    """Partitions went to another member before all that was handed out of them was settled."""


@dataclass(frozen=True)
class Figures:
    """How far a member is in the partitions that it has."""

    positions: Mapping[Place, Position]
    ends: Mapping[Place, int]
    """The offsets behind the last events, as known from the last fetch."""
    oldest_ms: int | None
    """When the oldest event was received that is not settled, of those that are here."""


Moved = Mapping[Place, Position]


@dataclass(frozen=True)
class _Commit:
    """Positions that are to be written."""

    moved: Callable[[], Moved]
    """They, from those of the moment."""
    done: "asyncio.Future[None]"


class KafkaSource:
    """
    Keeps trackmate_consume.source.Source.

    `holds` is asked, on the thread that polls, of a pause that is kept with a position: what holds
    no more is forgotten.
    """

    def __init__(
        self, reading: Reading, settings: Settings, holds: Callable[[Pause], bool] = bool
    ) -> None:
        self._reading = reading
        self._holds = holds
        self._streams = reading.topics
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self._lock = threading.Lock()
        self._held: dict[Place, Held] = {}
        self._told = threading.Condition(self._lock)
        self._asked: deque[_Commit] = deque()
        self._fault: Exception | None = None
        self._leaving = False  # a partition is taken away: hand out no more until it is gone
        self._paused = False
        self._full_since = 0.0  # by the monotonic clock; 0 while there is room
        self._ending = False
        self._ended = False  # nobody serves commits any more
        self._given: list[TopicPartition] | None = None  # by the group, and not taken up yet
        self._over = asyncio.Event()
        self._said = False  # that partitions came
        self._renewed: tuple[str, str] | None = None
        self.assignments = 0
        """How often partitions came to this member."""
        self._consumer = Consumer(
            {
                "session.timeout.ms": _SESSION_MS,
                **settings,
                **PROMISES,
                "group.id": reading.group,
                "logger": _kafka_log,
            }
        )
        self._consumer.subscribe(
            list(reading.topics),
            on_assign=_catchable(self._assign),
            on_revoke=_catchable(self._revoke),
            on_lost=_catchable(self._lose),
        )
        self._thread = threading.Thread(target=self._poll_on, name=reading.group, daemon=True)
        self._thread.start()

    # the event loop's side

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        while not self._any():
            if self._read_to_end():
                return None
            if self._held and not self._said:
                self._said = True
                return Fetched(())
            await self._came.wait()
        self._said = True
        if wait_s and not self._any(most):
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._filled(most)
        return self._take(most)

    async def commit(self, settled: Settled) -> None:
        await self._written(lambda: self._moved(settled.verdicts))

    async def keep_pause(self, pause: Pause | None) -> None:
        """Write beside the positions that the pipeline is paused. Raises as `commit` does."""
        await self._written(lambda: self._marked(pause))

    async def _written(self, moved: Callable[[], Moved]) -> None:
        asked = _Commit(moved, self._loop.create_future())
        with self._lock:
            if self._ended:
                raise self._why_ended()
            self._asked.append(asked)
            self._told.notify_all()
        await asked.done

    async def over(self) -> NoReturn:
        await self._over.wait()
        raise self._why_ended()

    def _why_ended(self) -> Exception:
        return self._fault or Ended("the consumer has ended")

    async def close(self) -> None:
        """Leave the group, so that others have the partitions at once."""
        self._ending = True
        with self._lock:
            self._told.notify_all()
        await asyncio.to_thread(self._thread.join, _LEAVE_S)

    async def assigned(self) -> None:
        """Wait until this member has partitions to read."""
        while not self._held:
            self._any()  # raises what went wrong
            await self._came.wait()

    def renew(self, user: str, password: str) -> None:
        """Log in with these from the next connection on; those that there are stay."""
        self._renewed = user, password

    @property
    def figures(self) -> "Figures":
        """Of the partitions that this member has."""
        with self._lock:
            ages = [one.ages[0][1] for one in self._held.values() if one.ages]
            return Figures(
                {place: one.position for place, one in self._held.items()},
                {place: max(one.end, one.position.next) for place, one in self._held.items()},
                min(ages, default=None),
            )

    @property
    def leaving(self) -> bool:
        """Whether partitions are about to go to another member."""
        return self._leaving

    @property
    def paused(self) -> bool:
        """Whether no more is fetched until some is taken."""
        return self._paused

    @property
    def held(self) -> int:
        """How many records wait to be taken."""
        with self._lock:
            return self._waiting()

    def _any(self, most: int = 1) -> bool:
        self._came.clear()  # before the look: what comes during it sets this again
        with self._lock:
            if self._fault is not None:
                raise self._fault
            return not self._leaving and self._waiting() >= most

    def _read_to_end(self) -> bool:
        with self._lock:
            return bool(self._held) and all(one.ended for one in self._held.values())

    async def _filled(self, most: int) -> None:
        while not self._any(most):
            await self._came.wait()

    def _take(self, most: int) -> Fetched:
        records: list[Record] = []
        expired: dict[int, int] = {}
        with self._lock:
            for held in self._held.values():
                taken, lost = held.hand_out(most - len(records))
                expired.update({len(records) + index: events for index, events in lost.items()})
                records += taken
            self._told.notify_all()
        return Fetched(records, expired)

    def _moved(self, verdicts: Sequence[Verdict]) -> Moved:
        """The positions behind what was settled of the partitions that are still here."""
        places: defaultdict[Place, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            places[verdict.stream, verdict.partition].append(verdict)
        return {
            place: self._held[place].position.after(settled)
            for place, settled in places.items()
            if place in self._held
        }

    def _marked(self, pause: Pause | None) -> Moved:
        return {
            place: replace(held.position, pause=pause)
            for place, held in self._held.items()
            if held.position.pause != pause
        }

    def _offset(self, place: Place, position: Position) -> TopicPartition:
        stream, partition = place
        name = self._reading.topic(stream)
        return TopicPartition(name, partition, position.next, metadata=to_metadata(position))

    # the thread's side

    def _waiting(self) -> int:
        return sum([len(held.waiting) for held in self._held.values()])

    def _poll_on(self) -> None:
        try:
            while not self._ending:
                self._log_in_anew()
                self._commit_asked()
                if self._has_room():
                    self._keep(self._polled())
                self._note_ends()
        except KafkaException as fault:
            self._fail(Ended(self._words(fault.args[0])))
        except _Refused as fault:
            self._fail(Ended(self._words(fault.error)))
        except Unsound as fault:
            self._fail(fault)
        except Unreadable as fault:
            self._fail(Ended(str(fault)))
        except Exception as fault:  # noqa: BLE001 - told to the one who reads
            _log.exception("reading failed")
            self._fail(Ended(f"reading failed: {fault}"))
        finally:
            self._commit_asked()
            with suppress(KafkaException, RuntimeError):
                self._consumer.close()
            self._refuse_asked()

    def _words(self, error: KafkaError) -> str:
        """What the brokers refuse, with the cure."""
        topics = ", ".join(self._reading.topics)
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            group = self._reading.group
            return f"Kafka does not let its user join the group {group!r}; allow it Read on it"
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return f"Kafka does not let its user read {topics}; allow it Read and Describe on it"
        if error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
            return f"Kafka has no topic {topics}; make it, or name another stream"
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001
            return f"Kafka does not take its user or password: {error.str()}"
        return f"Kafka cannot be read: {error.str()}"

    def _polled(self) -> list[Message]:
        """What is there as soon as anything is: `consume` alone waits for as many as asked for."""
        first = self._consumer.poll(_POLL_S)
        self._take_up()
        if first is None:
            return []
        return [first] if self._paused else [first, *self._consumer.consume(_MOST - 1, 0)]

    def _log_in_anew(self) -> None:
        renewed, self._renewed = self._renewed, None
        if renewed is not None:
            self._consumer.set_sasl_credentials(*renewed)

    def _commit_asked(self) -> None:
        """All commits are this thread's: one of another would wait for this one to poll."""
        while self._asked:
            asked = self._asked.popleft()
            with self._lock:
                moved = asked.moved()
            try:
                self._commit(moved)
            except KafkaException as fault:
                said = f"Kafka did not take the positions: {fault.args[0].str()}"
                self._tell(asked.done, Down(said))
            else:
                with self._lock:
                    for place, position in moved.items():
                        self._held[place].commit(position)
                self._tell(asked.done, None)

    def _refuse_asked(self) -> None:
        """What was asked for while the group was left: nobody would ever answer."""
        with self._lock:
            self._ended = True
            asked, self._asked = self._asked, deque()
        for one in asked:
            self._tell(one.done, self._why_ended())

    def _commit(self, positions: Mapping[Place, Position]) -> None:
        offsets = [self._offset(place, position) for place, position in positions.items()]
        if not offsets:
            return
        for committed in self._consumer.commit(offsets=offsets, asynchronous=False) or ():
            if committed.error:
                raise KafkaException(committed.error)

    def _tell(self, done: "asyncio.Future[None]", fault: Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(_end, done, fault)

    def _has_room(self) -> bool:
        """
        Whether to poll. Pausing throws away what was fetched ahead, to be fetched again: a reader
        that is only slower than the brokers is waited for. Paused partitions are polled, so that
        the group knows that we live.
        """
        with self._lock:
            full = self._is_full()
            if full and not self._paused and self._is_early():
                self._told.wait_for(
                    lambda: self._ending or self._asked or not self._is_full(), _POLL_S
                )
                return False
        if full and not self._paused:
            self._consumer.pause(self._consumer.assignment())
        elif self._paused and not full:
            self._consumer.resume(self._consumer.assignment())
        self._paused = full
        self._full_since = self._full_since if full else 0.0
        return True

    def _is_full(self) -> bool:
        size = sum([held.size for held in self._held.values()])
        return self._waiting() >= _MOST or size >= _MOST_BYTES

    def _is_early(self) -> bool:
        """Whether something may still be taken soon."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        return now - self._full_since < _PATIENCE_S

    def _keep(self, messages: Sequence[Message]) -> None:
        good: list[Message] = []
        again: set[Place] = set()
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - it has no other name
                self._keep_all(good, again)
                good = []
                self._pass_gap(message)
            elif error.code() == KafkaError._BAD_MSG:  # noqa: SLF001 - its checksum is wrong
                self._keep_all(good, again)
                good = []
                self._read_again(self._place(message), again)
            elif error.fatal() or error.code() in _REFUSALS:
                raise KafkaException(error)
        self._keep_all(good, again)
        if messages:
            self._wake()

    def _note_ends(self) -> None:
        """Asked on this thread alone: another one would wait for the client between two polls."""
        for place, held in self._held.items():
            stream, partition = place
            there = TopicPartition(self._reading.topic(stream), partition)
            _, high = self._consumer.get_watermark_offsets(there, cached=True)
            held.end = max(held.end, high)

    def _keep_all(self, messages: Sequence[Message], again: set[Place]) -> None:
        """Under the lock once for all of them: the event loop waits for it."""
        places: defaultdict[Place, list[Record]] = defaultdict(list)
        for message in messages:
            record = record_of(message, self._streams)
            places[record.stream, record.partition].append(record)
        with self._lock:
            here = {place: held for place in places if (held := self._held.get(place))}
            gaps = [place for place, held in here.items() if not held.keep(places[place])]
        for place in gaps:
            self._read_again(place, again)

    def _place(self, message: Message) -> Place:
        return self._reading.topics[message.topic() or ""], message.partition() or 0

    def _read_again(self, place: Place, again: set[Place]) -> None:
        """
        What lacks records, or has a wrong checksum, was altered on its way or where it lies:
        librdkafka would go on behind it. `again` are those that this poll brought already.
        """
        if place in again:
            return
        again.add(place)
        with self._lock:
            held = self._held.get(place)
        if held is None:
            return
        held.again = (held.taken, held.again[1] + 1 if held.again[0] == held.taken else 1)
        where = f"{place[0]}/{place[1]}@{held.taken}"
        _log.error(
            "CorruptRecord",
            extra={"fields": {"pipeline": self._reading.pipeline, "record": where}},
        )
        if held.again[1] > _MOST_AGAIN:
            raise Unsound(
                f"CorruptRecord: Kafka gives {where} altered, or not at all, again and again; let "
                "another replica lead that partition, or restore it"
            )
        self._go_to(place, held.taken)

    def _pass_gap(self, message: Message) -> None:
        """Go on at the oldest that is left; what lies between is counted with the next record."""
        place = self._place(message)
        name, partition = self._reading.topic(place[0]), place[1]
        there = TopicPartition(name, partition, OFFSET_BEGINNING)
        low, high = self._consumer.get_watermark_offsets(there, timeout=_ASKED_S)
        with self._lock:
            held = self._held[place]
            taken, held.taken = held.taken, max(held.taken, low)
        if taken > high:
            raise Unsound(
                f"{place[0]}/{partition} was read up to {taken}, and it ends at {high}: the topic "
                "was replaced by another; give the pipeline another name, or bring the topic back"
            )
        words = {"stream": place[0], "partition": partition, "from": taken, "to": low}
        _log.error("RetentionGap", extra={"fields": {"pipeline": self._reading.pipeline, **words}})
        self._go_to(place, low)

    def _go_to(self, place: Place, offset: int) -> None:
        """Where a partition stopped by an error, seek() refuses."""
        there = TopicPartition(self._reading.topic(place[0]), place[1], offset)
        self._consumer.incremental_unassign([there])
        self._consumer.incremental_assign([there])
        if self._paused:
            self._consumer.pause([there])

    def _fail(self, fault: Exception) -> None:
        with self._lock:
            self._fault = fault
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._look_up)

    def _look_up(self) -> None:
        self._came.set()
        if self._fault is not None:
            self._over.set()

    # what the group decides

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """
        They are taken up once poll() is through: to ask for metadata inside a callback makes the
        next callback of the same poll() abort the process (confluent-kafka 2.16, CallState_get).
        """
        consumer.incremental_assign([])
        self._given = [*(self._given or ()), *partitions]

    def _take_up(self) -> None:
        """Read what the group gave from where each is to go on, unless this source is to end."""
        if self._given is None or self._fault is not None:
            return
        given, self._given = self._given, None
        found = {
            place: self._unless_over(position) for place, position in self._positions(given).items()
        }
        with self._lock:
            for place, position in found.items():
                self._held[place] = Held(position, position.next, position.next)
            self.assignments += 1
        self._consumer.incremental_assign([self._offset(*one) for one in found.items()])
        self._wake()

    def _unless_over(self, position: Position) -> Position:
        """With the pause that is kept there, where it still holds."""
        if position.pause is None or self._holds(position.pause):
            return position
        return replace(position, pause=None)

    def _positions(self, given: list[TopicPartition]) -> dict[Place, Position]:
        """
        What is committed. Where nothing is, or by an earlier replay, the start: resolved for all
        before any is committed, in one write, so that no fault comes between some and the others.
        """
        found: dict[Place, Position] = {}
        to_begin = []
        for one in self._committed(given):
            place = self._place_of(one)
            position = None
            if one.offset != OFFSET_INVALID:
                position = from_metadata(one.offset, one.metadata or "")
            if position is None or not self._goes_on(position):
                to_begin.append(one)
            else:
                found[place] = position
        begun = self._begun_again(to_begin) if self._reading.again else self._begun(to_begin)
        self._commit(begun)
        given_places = self._places(given)
        return found | {place: one for place, one in begun.items() if place in given_places}

    def _goes_on(self, position: Position) -> bool:
        """Whether it is of what is read here, and not of a replay before."""
        again = self._reading.again
        return again is None or (
            position.stretch is not None and position.stretch.replay == again.stretch.replay
        )

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        found = self._consumer.committed(partitions, timeout=_ASKED_S) if partitions else []
        for one in found:
            if one.error:
                raise KafkaException(one.error)
        return found

    def _begun_again(self, partitions: list[TopicPartition]) -> dict[Place, Position]:
        again = self._reading.again
        assert again is not None  # noqa: S101 - else nothing is read again
        begun = {}
        for one in partitions:
            place = self._place_of(one)
            start = self._start(one)
            end = max(start, again.ends.get(place, 0))
            stretch = msgspec.structs.replace(again.stretch, until=end)
            begun[place] = Position(start, start, stretch=stretch)
        return begun

    def _begun(self, partitions: list[TopicPartition]) -> dict[Place, Position]:
        """
        Where nothing of a topic is committed, all of its partitions begin, also those of others. A
        partition that appeared after the others began is read from its first event on.
        """
        begun = {}
        for topic in {one.topic for one in partitions}:
            found = self._consumer.list_topics(topic, timeout=_ASKED_S).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
            all_of_it = self._committed([TopicPartition(topic, one) for one in found.partitions])
            is_new = all(one.offset == OFFSET_INVALID for one in all_of_it)
            for one in all_of_it if is_new else partitions:
                if one.topic == topic:
                    start = self._start(one) if is_new else 0
                    begun[self._place_of(one)] = Position(start, start)
        return begun

    def _start(self, one: TopicPartition) -> int:
        low, high = self._consumer.get_watermark_offsets(one, timeout=_ASKED_S)
        start = self._reading.start
        if isinstance(start, datetime):
            asked = TopicPartition(one.topic, one.partition, epoch_ms(start))
            [since] = self._consumer.offsets_for_times([asked], timeout=_ASKED_S)
            return int(high if since.offset < 0 else since.offset)
        return int(high if start == "latest" else low)

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let what was handed out settle, for so long; then let go."""
        places = self._places(partitions)
        until = time.monotonic() + _SETTLE_S
        self._leaving = True
        while (left_s := until - time.monotonic()) > 0 and not self._ending:
            self._commit_asked()
            with self._lock:
                if not self._unsettled(places):
                    break
                self._told.wait_for(lambda: self._ending or self._asked, left_s)
        with self._lock:
            self._let_go(places)
        self._leaving = False
        consumer.incremental_unassign(self._taken_up(partitions))
        self._wake()

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another member has them already: nothing of them may be committed."""
        with self._lock:
            self._let_go(self._places(partitions))
        consumer.incremental_unassign(self._taken_up(partitions))
        self._wake()

    def _taken_up(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Those of them that are read here; the others are not to be taken up any more."""
        waiting = self._given or []
        self._given = [one for one in waiting if one not in partitions] or None
        return [one for one in partitions if one not in waiting]

    def _places(self, partitions: list[TopicPartition]) -> list[Place]:
        return [self._place_of(one) for one in partitions]

    def _place_of(self, one: TopicPartition) -> Place:
        return self._streams[one.topic], one.partition

    def _unsettled(self, places: list[Place]) -> bool:
        return any(self._held[place].unsettled for place in places if place in self._held)

    def _let_go(self, places: list[Place]) -> None:
        if self._unsettled(places) and not self._ending:
            self._fault = Reassigned("partitions went to another member of the group")
        for place in places:
            self._held.pop(place, None)


_REFUSALS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    }
)


def _end(done: "asyncio.Future[None]", fault: Exception | None) -> None:
    if done.done():
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)
