"""
The Couchbase sinks and a cluster that is busy, ambiguous, slow, strange, closed to them or gone: an
outage in words without secrets, never a weaker write, and every event once when it is over. On the
stand-in, which can be told to fail.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from couchbase_standin.standin import Op, Role, Standin, Status, standing
from handing import RUNNERS, fault, placed
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Sink, Translated
from trackmate_consume.sinks.couchbase import CouchbaseSink
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_consume.translate import to_document
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.pipeline import Couchbase as Spec
from waiting_for import wait_until

PASSWORD = "canary-4f1d9a7c"
NEW = Outcome.DELIVERED
BATCH = 40


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        running.bucket("acme")
        let_in(running, PASSWORD)
        yield running


def let_in(standin: Standin, password: str, *names: str) -> None:
    """The user `app`, with these roles in the bucket; all that it needs without any."""
    roles = [Role(name, "acme") for name in names or ("data_reader", "data_writer")]
    standin.user("app", password, *roles)


class Given(NamedTuple):
    """A sink, and what it is on."""

    sink: Sink
    cluster: CouchbaseCluster


Story = Callable[[Given], Awaitable[Any]]


class Told:
    """Tells stories of a sink on the stand-in, each on a connection of its own."""

    def __init__(self, standin: Standin, folder: Path, *, store: bool, run: Any) -> None:
        self.standin = standin
        self.password = folder / "password"
        self.password.write_text(PASSWORD)
        self.op = Op.ADD if store else Op.SUBDOC_MUTATION
        self._store = store
        self._run = run

    def settings(self, **changes: Any) -> Couchbase:
        return Couchbase.model_validate(
            {
                "connectionString": self.standin.address,
                "username": "app",
                "passwordFile": str(self.password),
                "bucket": "acme",
                **changes,
            }
        )

    def __call__(self, story: Story, *, connect_s: float = 5.0, **changes: Any) -> Any:
        async def main() -> Any:
            cluster = CouchbaseCluster(
                self.settings(**changes), connect_s=connect_s, answer_s=2.0, look_s=0.05
            )
            sink = (
                CouchbaseStore(cluster)
                if self._store
                else CouchbaseSink(Spec(), cluster, pipeline="to-orders")
            )
            try:
                return await story(Given(sink, cluster))
            finally:
                await sink.close()
                await cluster.close()

        return self._run(main())


@pytest.fixture(params=["store", "sink"])
def told(request: pytest.FixtureRequest, standin: Standin, tmp_path: Path) -> Told:
    return Told(standin, tmp_path, store=request.param == "store", run=asyncio.run)


@pytest.fixture
def store(standin: Standin, tmp_path: Path) -> Told:
    return Told(standin, tmp_path, store=True, run=asyncio.run)


def events(*numbers: int) -> list[Translated]:
    made = [placed(number, f"e-{number}", b'{"n":%d}' % number) for number in numbers]
    return [one._replace(documents=(to_document(one.record),)) for one in made]


async def until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)


async def until_taken(sink: Sink, batch: list[Translated]) -> list[Outcome]:
    """As the flow does: again, until it is."""
    for _ in range(100):
        with suppress(Down):
            return [*await sink.write(batch)]
        await asyncio.sleep(0.05)
    raise AssertionError("the batch was not taken")


# faults that pass


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("answer", {"status": Status.TEMPORARY}),
        ("answer", {"status": Status.BUSY}),
        ("answer", {"status": Status.OUT_OF_MEMORY}),
        ("answer", {"status": Status.SYNC_WRITE_IN_PROGRESS}),
        ("answer", {"status": Status.INTERNAL}),
        ("answer", {"status": Status.NOT_MY_VBUCKET}),
        ("ambiguous", {"applied": True}),
        ("ambiguous", {"applied": False}),
        ("drop", {"applied": True}),
        ("drop", {"applied": False}),
        ("slow", {"seconds": 0.1}),
    ],
)
def test_faults_on_a_third_of_the_writes_leave_every_event_once(
    told: Told, kind: Any, more: dict[str, Any]
) -> None:
    injected = told.standin.faults.add(kind, told.op, chance=0.3, times=60, **more)

    async def story(given: Given) -> None:
        await given.sink.open()
        for start in range(0, 5 * BATCH, BATCH):
            assert await until_taken(given.sink, events(*range(start, start + BATCH))) == (
                [NEW] * BATCH
            )

    told(story)

    assert injected.bit >= 30
    assert len(told.standin.documents("acme")) == 5 * BATCH


@pytest.mark.parametrize("kind", ["ambiguous", "drop"])
def test_a_write_that_nobody_knows_the_end_of_is_repeated_at_once(told: Told, kind: Any) -> None:
    injected = told.standin.faults.add(kind, told.op, times=3, applied=False)

    async def story(given: Given) -> None:
        await given.sink.open()
        assert [*await given.sink.write(events(0))] == [NEW]

    told(story)

    assert injected.bit == 3


def test_events_under_one_id_keep_their_order_also_when_the_first_fails(store: Told) -> None:
    """What came first has the id; what came later is kept beside it."""
    injected = store.standin.faults.add("ambiguous", Op.ADD, times=1, applied=False)
    [first, second] = [placed(n, "e-1", b'{"n":%d}' % n, value=b"%d" % n) for n in (1, 2)]
    batch = [one._replace(documents=(to_document(one.record),)) for one in (first, second)]

    async def story(given: Given) -> None:
        await given.sink.open()
        assert [*await given.sink.write(batch)] == [NEW, Outcome.CONFLICT]

    store(story)

    assert injected.bit == 1
    assert store.standin.documents("acme")["e::events::e-1"].value.endswith(b'"event":1}')


def test_an_event_that_is_there_is_found_however_often_the_server_is_busy(told: Told) -> None:
    injected = told.standin.faults.add("answer", told.op, status=Status.TEMPORARY, chance=0.7)

    async def story(given: Given) -> None:
        await given.sink.open()
        for _ in range(5):
            assert [*await given.sink.write(events(0))] == [NEW]

    told(story)

    assert injected.bit >= 5


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("kind", ["silent", "garbage"])
def test_a_connection_that_is_stuck_is_replaced(told: Told, kind: Any, *, applied: bool) -> None:
    injected = told.standin.faults.add(kind, told.op, times=1, applied=applied)

    async def story(given: Given) -> None:
        await given.sink.open()
        first = await fault(given.sink.write(events(0)))
        assert (type(first), str(first)) == (Down, "no answer in time")
        assert [*await given.sink.write(events(0, 1))] == [NEW, NEW]

    told(story)

    assert injected.bit == 1
    assert told.standin.data.logins["app"] >= 2
    assert len(told.standin.documents("acme")) == 2


STEPS = [
    Op.HELLO,
    Op.SASL_LIST,
    Op.SASL_AUTH,
    Op.SASL_STEP,
    Op.SELECT_BUCKET,
    Op.GET_CLUSTER_CONFIG,
]
GONE_ON_WITHOUT = {(Op.HELLO, "silent"), (Op.SASL_LIST, "silent")}
"""What a client does not wait for."""


@pytest.mark.parametrize(
    ("op", "kind"),
    sorted({*product(STEPS, ("silent", "garbage", "drop"))} - GONE_ON_WITHOUT),
)
def test_a_handshake_that_goes_wrong_is_an_outage_and_not_for_ever(
    store: Told, op: Op, kind: Any
) -> None:
    injected = store.standin.faults.add(kind, op)

    async def story(given: Given) -> None:
        async with asyncio.timeout(20):
            assert isinstance(await fault(given.sink.open()), Down)
        store.standin.faults.clear()
        assert await until_taken(given.sink, events(0)) == [NEW]

    store(story, connect_s=1)

    assert injected.bit >= 1


# what somebody has to mend


IMPOSSIBLE = (
    "the durability 'MajorityAndPersistActive' is not possible now in bucket 'acme': too few of "
    "its nodes are there; bring them back"
)
INVALID = (
    "the bucket 'acme' has no durability 'MajorityAndPersistActive': with 3 replicas there is "
    "none, and in memory alone no persisting one; change the bucket"
)
NO_ACCESS = (
    "the user 'app' may not read or not write in collection '_default' of scope '_default' in "
    "bucket 'acme'; give it data_reader and data_writer there"
)
NO_BUCKET = (
    "there is no bucket 'acme', or the user 'app' may do nothing in it; make it, or give the user "
    "data_reader and data_writer there"
)
AMBIGUOUS = "whether it was written is not known: a node failed while it was written"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.DURABILITY_IMPOSSIBLE, IMPOSSIBLE),
        (Status.DURABILITY_INVALID, INVALID),
        (Status.NO_ACCESS, NO_ACCESS),
        (Status.NO_BUCKET, NO_BUCKET),
        (Status.TEMPORARY, "the server is busy, or has no memory left"),
        (Status.OUT_OF_MEMORY, "the server is busy, or has no memory left"),
        (Status.SYNC_WRITE_IN_PROGRESS, "another durable write of the key is under way"),
        (Status.INTERNAL, "the server failed"),
        (Status.SYNC_WRITE_AMBIGUOUS, AMBIGUOUS),
        (Status.UNKNOWN_COMMAND, "answered UnsupportedOperation"),
    ],
)
def test_an_outage_says_what_it_is_and_ends_with_its_cause(
    told: Told, status: Status, said: str
) -> None:
    injected = told.standin.faults.add("answer", told.op, status=status)

    async def story(given: Given) -> None:
        await given.sink.open()
        down = await fault(given.sink.write(events(0)))
        assert isinstance(down, Down)
        assert str(down) == said
        told.standin.faults.clear()
        assert [*await given.sink.write(events(0))] == [NEW]

    told(story)

    assert injected.bit >= 1


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        ("None", "none"),
        ("Majority", "majority"),
        ("MajorityAndPersistActive", "majorityAndPersistActive"),
        ("PersistToMajority", "persistToMajority"),
    ],
)
def test_every_write_asks_for_the_declared_durability_and_never_for_less(
    told: Told, declared: str, asked: str
) -> None:
    status = Status.DURABILITY_IMPOSSIBLE
    injected = told.standin.faults.add("answer", told.op, status=status, chance=0.5, times=20)

    async def story(given: Given) -> None:
        await given.sink.open()
        assert await until_taken(given.sink, events(*range(BATCH))) == [NEW] * BATCH
        await until_taken(given.sink, events(*range(BATCH)))

    told(story, durability=declared)

    assert injected.bit >= 5
    assert set(told.standin.data.durabilities) == {asked}


def test_rights_that_are_taken_away_and_given_back(told: Told) -> None:
    async def story(given: Given) -> None:
        await given.sink.open()
        for roles in (["data_reader"], ["data_writer"]):
            let_in(told.standin, PASSWORD, *roles)
            down = await fault(
                given.sink.write(events(0, 0) if roles == ["data_writer"] else events(0))
            )
            assert "may not read or not write" in str(down)
            let_in(told.standin, PASSWORD)
            assert [*await given.sink.write(events(0))] == [NEW]

    told(story)


def test_a_user_without_the_right_to_write_is_told_so_when_it_is_opened(told: Told) -> None:
    """And nothing is left behind by asking."""
    for role in ("data_reader", "data_writer"):
        let_in(told.standin, PASSWORD, role)
        assert "may not read or not write" in str(told(lambda given: fault(given.sink.open())))
    let_in(told.standin, PASSWORD)
    told(lambda given: given.sink.open())
    assert told.standin.documents("acme") == {}


def test_a_collection_that_is_dropped_and_made_again(standin: Standin, tmp_path: Path) -> None:
    standin.state.buckets["acme"].add_scope("web")
    standin.state.buckets["acme"].add_collection("web", "events")
    told = Told(standin, tmp_path, store=True, run=asyncio.run)

    async def story(given: Given) -> None:
        await given.sink.open()
        assert [*await given.sink.write(events(0))] == [NEW]
        standin.state.buckets["acme"].drop_collection("web", "events")
        down = await fault(given.sink.write(events(1)))
        assert str(down).startswith("there is no collection 'events' of scope 'web'")
        standin.state.buckets["acme"].add_collection("web", "events")
        assert await until_taken(given.sink, events(0, 1)) == [NEW, NEW]

    told(story, scope="web")

    assert len(standin.documents("acme", "web", "events")) == 2


def test_a_bucket_that_is_dropped_and_made_again(store: Told) -> None:
    async def story(given: Given) -> None:
        await given.sink.open()
        assert [*await given.sink.write(events(0))] == [NEW]
        store.standin.state.drop_bucket("acme")
        assert isinstance(await fault(given.sink.write(events(1))), Down)
        store.standin.bucket("acme")
        assert await until_taken(given.sink, events(0, 1)) == [NEW, NEW]

    store(story)


# no way to it


def test_a_cluster_that_is_gone_is_waited_for(told: Told) -> None:
    async def story(given: Given) -> None:
        await given.sink.open()
        assert [*await given.sink.write(events(0))] == [NEW]
        told.standin.stop()
        downs = [str(await fault(given.sink.write(events(1)))) for _ in range(3)]
        assert f":{told.standin.ports.data} cannot be connected to: connection refused" in downs[-1]
        told.standin.start()
        assert await until_taken(given.sink, events(0, 1)) == [NEW, NEW]

    told(story, connect_s=1)


def test_all_that_wait_for_a_connection_wait_for_the_same(store: Told) -> None:
    assert store(lambda given: given.sink.write(events(*range(BATCH)))) == [NEW] * BATCH
    assert store.standin.data.logins["app"] == CONNECTIONS


def test_a_batch_is_told_of_an_outage_once_and_not_event_by_event(store: Told) -> None:
    store.standin.stop()

    async def story(given: Given) -> None:
        async with asyncio.timeout(10):  # a second, and less to look why
            assert isinstance(await fault(given.sink.write(events(*range(500)))), Down)

    store(story, connect_s=1)
    store.standin.start()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("couchbase://nowhere.invalid", "nowhere.invalid:11210 is no name that is known"),
        ("couchbase://127.0.0.1:1", "127.0.0.1:1 cannot be connected to: connection refused"),
        (
            "couchbase://127.0.0.1:1,[::1]:2",
            "127.0.0.1:1 cannot be connected to: connection refused; ::1:2 cannot be connected to",
        ),
        ("couchbases://{0}", "{0} speaks no TLS; write couchbase://, or the port of its data"),
        ("couchbase://{1}", "{1} is there, and is no data service of Couchbase that answers"),
    ],
)
def test_what_is_in_the_way_of_a_connection_is_said(store: Told, address: str, said: str) -> None:
    ports = store.standin.ports
    places = f"127.0.0.1:{ports.data}", f"127.0.0.1:{ports.management}"

    where = {"connectionString": address.format(*places)}
    down = store(lambda given: fault(given.sink.open()), connect_s=1, **where)

    assert isinstance(down, Down)
    assert str(down).startswith(f"no connection to Couchbase: {said.format(*places)}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    return trustme.CA()


def with_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("of", "name", "said"),
    [
        ("ours", "127.0.0.1", ""),
        ("ours", "127.0.0.2", "its certificate is for another address"),
        (
            "theirs",
            "127.0.0.1",
            "its certificate is from an unknown authority; put that into caFile to trust it",
        ),
        ("none", "127.0.0.1", "cannot be read: No such file or directory"),
        ("no PEM", "127.0.0.1", "cannot be read: it is no certificate in PEM"),
    ],
)
def test_certificates_are_verified_with_the_declared_authority(
    authority: trustme.CA, tmp_path: Path, of: str, name: str, said: str
) -> None:
    trusted = authority if of == "ours" else trustme.CA()
    if of != "none":
        trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    if of == "no PEM":
        (tmp_path / "ca.pem").write_text("nonsense")
    with standing(with_tls(authority, name)) as standin:
        standin.bucket("acme")
        let_in(standin, PASSWORD)
        told = Told(standin, tmp_path, store=True, run=asyncio.run)

        async def story(given: Given) -> str:
            if said:
                return str(await fault(given.sink.open()))
            assert [*await given.sink.write(events(0))] == [NEW]
            return ""

        address = standin.address_tls
        heard = told(story, connectionString=address, caFile=str(tmp_path / "ca.pem"))

        assert standin.data.logins["app"] == (0 if said else CONNECTIONS)
    assert heard.endswith(said)


def test_the_password_is_proved_and_never_sent(authority: trustme.CA, tmp_path: Path) -> None:
    """Not with TLS either, where the SDK by itself would send it."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with standing(with_tls(authority, "127.0.0.1")) as standin:
        standin.bucket("acme")
        let_in(standin, PASSWORD)
        told = Told(standin, tmp_path, store=True, run=asyncio.run)
        for address, authorities in (
            (standin.address_tls, str(tmp_path / "ca.pem")),
            (standin.address, None),
        ):
            told(lambda given: given.sink.open(), connectionString=address, caFile=authorities)

        assert set(standin.data.mechanisms) == {"SCRAM-SHA512"}


# who is cancelled, and in which loop


@pytest.mark.parametrize("runner", sorted(RUNNERS))
def test_a_cancelled_write_goes_on_to_its_end_and_breaks_nothing(
    standin: Standin, tmp_path: Path, runner: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's own callback fails in the loop when its future is cancelled."""
    told = Told(standin, tmp_path, store=True, run=RUNNERS[runner])
    injected = standin.faults.add("slow", Op.ADD, seconds=0.3, times=BATCH)

    async def story(given: Given) -> None:
        await given.sink.open()
        writing = asyncio.create_task(given.sink.write(events(*range(BATCH))))
        await until(lambda: injected.bit, "a write is under way")
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing

    told(story)

    assert injected.bit >= 1
    assert len(standin.documents("acme")) == injected.bit
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


# credentials


def test_a_password_is_changed_under_load_and_no_event_notices(
    store: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """F36: twenty times; each time the old one lets nobody in any more."""
    caplog.set_level(logging.DEBUG)
    changes, numbers, data = 20, count(), store.standin.data

    async def story(given: Given) -> list[Outcome]:
        await given.sink.open()
        going = asyncio.Event()
        going.set()
        said: list[Outcome] = []

        async def load() -> None:
            while going.is_set():
                said.extend(await given.sink.write(events(*[next(numbers) for _ in range(10)])))

        loads = [asyncio.create_task(load()) for _ in range(4)]
        for change in range(changes):
            logins = data.logins["app"]
            let_in(store.standin, f"{PASSWORD}-{change}")
            store.password.write_text(f"{PASSWORD}-{change}\n")
            await until(lambda: data.logins["app"] > logins, "the new one is in use")  # noqa: B023
        await until(lambda: data.open["app"] <= 2 * CONNECTIONS, "the old ones are closed")
        going.clear()
        await asyncio.gather(*loads)
        return said

    said = store(story)

    assert len(said) > 10 * changes
    assert {*said} == {NEW}
    assert len(store.standin.documents("acme")) == len(said)
    assert PASSWORD not in caplog.text
    wait_until(lambda: store.standin.data.open["app"] == 0, "all connections are closed")


CONNECTIONS = 2
"""Of a cluster object: one for the cluster, one for the bucket."""


def test_a_new_password_that_is_not_let_in_yet_waits_beside_the_old(
    store: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(given: Given) -> None:
        await given.sink.open()
        store.password.write_text("next")
        while "the old password goes on" not in caplog.text:
            assert [*await given.sink.write(events(0))] == [NEW]
        let_in(store.standin, "next")
        logins = store.standin.data.logins["app"]
        while store.standin.data.logins["app"] == logins:
            assert [*await given.sink.write(events(0))] == [NEW]

    store(story)

    assert "next" not in [record.getMessage() for record in caplog.records]


def test_a_password_is_in_no_sentence(store: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    let_in(store.standin, "another")

    down = store(lambda given: fault(given.sink.open()))

    assert str(down) == (
        f"the server does not let the user 'app' in with the password in '{store.password}'; mend "
        "one of them"
    )
    assert PASSWORD not in caplog.text + repr(down)
