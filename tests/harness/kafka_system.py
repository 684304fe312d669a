"""
The whole way of an event on Kafka, to be broken: clients, trackmate-ingest, three brokers over
networks, trackmate-consume into a backend and into the store, which is the stand-in of Couchbase;
and the oracle that holds them against each other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import consuming
import ingest_program
from consuming import Consuming
from couchbase_standin.standin import Role, Standin, standing
from ingest_program import Program
from kafka_books import KafkaBooks
from kafka_broker import Broker, Cluster
from oracle import compare_log
from receiver import Receiver, receiving
from running import Stored
from sessions import STREAM, Sessions, place_of
from trackmate_consume.ledger import Line
from trackmate_contract.names import document_key
from traffic import Ledger, Outcome
from waiting_for import wait_until

AFFILIATE, PIPELINE, STORE = "acme", "crm", "store"
PARTITIONS = 3
SESSIONS = 6
_SETTLED_S = 90.0
_MOST_SHOWN = 10
_LOG_SHOWN = 4000

SPEC: dict[str, Any] = {
    "streams": [{"name": STREAM}],
    "ingest": {
        "hosts": ["acme.track.example.com"],
        "limits": {"requestsPerSecond": 100_000, "bytesPerSecond": "1Gi"},
    },
}


@dataclass
class System:
    """Everything at work."""

    home: Path
    cluster: Cluster
    backend: Receiver
    couchbase: Standin
    ingest: Program
    members: list[Consuming] = field(default_factory=list)
    """Of the pipeline into the backend."""
    keepers: list[Consuming] = field(default_factory=list)
    """Of the pipeline into the store."""
    ledger: Ledger = field(default_factory=Ledger)
    keys_moved: bool = False
    """Whether there are more partitions than before: then a key has a new one."""
    bit: str = ""
    """What shows that the fault was felt; a fault that was not proves nothing."""

    @property
    def topic(self) -> str:
        return f"{AFFILIATE}.{STREAM}"

    def start_member(self) -> Consuming:
        name = f"member-{len(list(self.home.glob('member-*.yaml')))}"
        sink = {"http": {"url": self.backend.url, "timeout": "3s"}}
        settings = {
            "pipeline": PIPELINE,
            "spec": {"stream": STREAM, "sink": sink},
            "allowedNetworks": ["127.0.0.0/8"],
        }
        self.members.append(consuming.start(self.home, self._settings | settings, name=name))
        return self.members[-1]

    def start_keeper(self) -> Consuming:
        name = f"keeper-{len(list(self.home.glob('keeper-*.yaml')))}"
        password = self.home / "couchbase-password"
        password.write_text("right")
        couchbase = {
            "connectionString": self.couchbase.address,
            "username": "acme-consume",
            "passwordFile": str(password),
            "bucket": AFFILIATE,
        }
        settings = {"pipeline": STORE, "streams": [STREAM], "couchbase": couchbase}
        self.keepers.append(consuming.start(self.home, self._settings | settings, name=name))
        return self.keepers[-1]

    @property
    def _settings(self) -> dict[str, Any]:
        return {"affiliate": AFFILIATE, "kafka": {"bootstrapServers": self.cluster.bootstrap}}

    def restart_ingest(self) -> None:
        """On the port that it had, where clients look for it."""
        before = self.ingest
        settings = {**before.settings, "listen": {"host": "127.0.0.1", "port": before.port}}
        before.files.write({"settings.yaml": yaml.safe_dump(settings)})
        self.ingest = ingest_program.start_on(
            self.home, self.cluster, before.files, settings, before.keys, ready=False
        )
        self.ingest.partitions = PARTITIONS

    def end(self) -> None:
        """Nothing is left behind, whatever was broken."""
        self.ingest.kill_what_is_left()
        for member in (*self.members, *self.keepers):
            member.kill()

    def leader(self) -> Broker:
        """A broker that leads a partition."""
        return self.cluster.brokers[min(self.cluster.leaders(self.topic))]

    def log(self) -> list[Stored]:
        return self.ingest.tail(AFFILIATE, STREAM)

    def acknowledged(self) -> int:
        return self.ledger.count(Outcome.OK)

    # what must hold

    def settled(self) -> bool:
        lines = [self.books(name)[0] for name in (PIPELINE, STORE)]
        return all(line.in_flight == 0 and line.accepted == line.counts.settled for line in lines)

    def state(self) -> Iterator[str]:
        """What to look at where it does not come to rest."""
        for pipeline, programs in ((PIPELINE, self.members), (STORE, self.keepers)):
            yield f"{pipeline}: {self.books(pipeline)[0]}"
            for program in programs:
                yield f"{program.settings.stem}: ready {program.ready()}, alive {program.healthy()}"
                yield program.figures()
                yield program.log[-_LOG_SHOWN:]

    def books(self, pipeline: str) -> tuple[Line, list[str]]:
        """A pipeline's line as anyone can compute it, and what is wrong with it."""
        books = KafkaBooks(self.cluster.settings(), AFFILIATE, pipeline)
        try:
            return books.look()
        finally:
            books.close()

    def faults(self) -> Iterator[str]:
        """I1 to I7, a sentence each for what does not hold."""
        log = self.log()
        yield from compare_log(self.ledger, log)
        yield from () if self.keys_moved else self._order(log)
        yield from self._sink(log)
        yield from self._store(log)
        for pipeline in (PIPELINE, STORE):
            line, wrong = self.books(pipeline)
            yield from wrong
            if line.accepted != len(log):
                yield f"{pipeline}: {line.accepted} accepted in the books, {len(log)} in the log"

    def _store(self, log: list[Stored]) -> Iterator[str]:
        """I1, I2: each event is one document, with its bytes, and the books say as many."""
        sent = {document_key(STREAM, event.id): event.value for event in log}
        documents = self.couchbase.documents(AFFILIATE)
        for key in set(sent) - set(documents):
            yield f"{key} is in the log, and has no document"
        for key, stored in documents.items():
            if key not in sent:
                yield f"{key} is a document of no event"
            elif not stored.value.endswith(b',"event":%b}' % sent[key]):
                yield f"{key} has other bytes: {stored.value!r}"
        counts = self.books(STORE)[0].counts
        if (counts.delivered, counts.duplicates) != (len(sent), len(log) - len(sent)):
            yield f"the store's books say {counts} of {len(sent)} events in {len(log)} records"

    def _order(self, log: list[Stored]) -> Iterator[str]:
        """I5: what came first of each event of a session, in its order."""
        last: dict[str, int] = {}
        seen: set[str] = set()
        for event in log:
            if event.id in seen:
                continue
            seen.add(event.id)
            who, sequence = place_of(event.value)
            if sequence < last.get(who, -1):
                yield f"{event.id} came behind number {last[who]} of {who}"
            last[who] = max(sequence, last.get(who, -1))

    def _sink(self, log: list[Stored]) -> Iterator[str]:
        """I6: the backend has each event with its bytes, at least as often as the log."""
        sent = {event.id: event.value for event in log}
        came = Counter(request.id for request in list(self.backend.requests))
        for event_id in set(sent) - set(came):
            yield f"{event_id} is in the log, and did not reach the sink"
        for request in list(self.backend.requests):
            if sent.get(request.id) != request.body:
                yield f"{request.id} reached the sink with other bytes: {request.body!r}"

    @property
    def repeated(self) -> int:
        """Requests to the backend beyond the records of the log."""
        return len(self.backend.requests) - len(self.log())


@contextmanager
def system(home: Path, cluster: Cluster, *, members: int = 1) -> Iterator[System]:
    """Everything at work on empty topics."""
    cluster.empty()
    cluster.create(f"{AFFILIATE}.{STREAM}", partitions=PARTITIONS, min_insync_replicas="2")
    for pipeline in (PIPELINE, STORE):
        cluster.create(f"{AFFILIATE}.{pipeline}.dead", partitions=1)
    with ExitStack() as opened:
        backend, couchbase = opened.enter_context(receiving()), opened.enter_context(standing())
        couchbase.bucket(AFFILIATE)
        roles = (Role("data_reader", AFFILIATE), Role("data_writer", AFFILIATE))
        couchbase.user("acme-consume", "right", *roles)
        ingest = ingest_program.start(home, cluster, spec=SPEC, partitions=PARTITIONS)
        found = System(home, cluster, backend, couchbase, ingest)
        opened.callback(found.end)
        for _ in range(members):
            found.start_member()
        found.start_keeper()
        yield found


@dataclass(frozen=True)
class Row:
    """One line of the table of faults."""

    fault: str
    acknowledged: int
    lost: int
    repeated: int
    recovered_s: float
    bit: str


Strike = Callable[[System], Any]


async def survive(it: System, name: str, strike: Strike, *, seed: int, enough: int = 150) -> Row:
    """Strike under load, let it heal, and hold everything against the clients' account."""
    load = Sessions(it.ingest.url, it.ingest.key("server"), it.ledger, seed=seed, number=SESSIONS)
    try:
        await load.until(lambda one: one.count(Outcome.OK) >= enough, what="the load runs")
        before = it.acknowledged()
        await asyncio.to_thread(strike, it)
        during = it.acknowledged() - before
        healed = time.monotonic()
        after = it.acknowledged() + enough
        await load.until(lambda one: one.count(Outcome.OK) >= after, what="it is taken again")
        recovered_s = time.monotonic() - healed
    finally:
        load.stop()
        await load.ended()
    return await asyncio.to_thread(_judge, it, name, during, recovered_s)


def _judge(it: System, name: str, during: int, recovered_s: float) -> Row:
    try:
        wait_until(it.settled, "all is settled", seconds=_SETTLED_S)
    except AssertionError as late:
        raise AssertionError("\n".join([str(late), *it.state()])) from None
    faults = list(it.faults())
    assert not faults, "\n".join([f"{name}: {len(faults)} faults:", *faults[:_MOST_SHOWN]])
    assert it.bit, f"{name}: nobody felt the fault"
    return Row(name, during, 0, it.repeated, recovered_s, it.bit)
