"""
The SDKs of others, unmodified: those who use them change a host and a key, and lose nothing.

They come from npm at the versions of `clients/package-lock.json` and are kept between runs. The
browser's SDK is the bundle that its package ships, on a page of another origin than the instance.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from browser import complaints, visitor
from halfway import Exchange, Fault, Halfway, halfway
from running import Dev, Stored

CLIENTS = Path(__file__).with_name("clients")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "trackmate-tests"
INSTALL = ("npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
TERMS = ("delivered", "duplicates", "conflicts", "filtered", "dead", "expired", "in_flight")
CALLS = 10  # of one visit
BATCHES = pytest.mark.parametrize("batch", [0, 4], ids=["one by one", "in batches"])

pytestmark = pytest.mark.needs("node")


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the page of `clients/`, and the packages that they use."""
    folder = tmp_path_factory.mktemp("clients")
    copytree(CLIENTS, folder, ignore=ignore_patterns("node_modules"), dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(installed())
    return folder


def installed() -> Path:
    """The packages of the lock: those of an earlier run, else from the registry."""
    lock = (CLIENTS / "package-lock.json").read_bytes()
    kept = CACHE / sha256(lock).hexdigest()[:16] / "node_modules"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as fresh:
        copytree(CLIENTS, fresh, ignore=ignore_patterns("node_modules"), dirs_exist_ok=True)
        done = subprocess.run(INSTALL, cwd=fresh, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with suppress(OSError):  # another run was first
            Path(fresh, "node_modules").rename(kept)
    return kept


class Sent(NamedTuple):
    """What a client says that it sent: each event's messageId, and the bodies of its requests."""

    ids: list[str]
    bodies: list[bytes]


def send_with(script: str, folder: Path, *arguments: str) -> Sent:
    done = subprocess.run(
        ["node", script, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Sent(told["ids"], [body.encode() for body in told["bodies"]])


class Account:
    """What an instance that others use too took in since the account was opened."""

    def __init__(self, dev: Dev) -> None:
        self._dev = dev
        self._before = counts(dev.settle())

    def check(self, ids: list[str], *, duplicates: int = 0) -> list[Stored]:
        """One document an event, with its bytes, and books that say so. Returns the records."""
        ledger = self._dev.settle()
        assert ledger["balanced"], ledger
        assert counts(ledger) - self._before == Counter(
            accepted=len(ids) + duplicates, delivered=len(ids), duplicates=duplicates
        )
        records = [record for record in self._dev.tail() if record.id in set(ids)]
        assert len(records) == len(ids) + duplicates
        documents = self._dev.documents()
        for record in {record.id: record for record in reversed(records)}.values():
            assert json.loads(record.value)["messageId"] == record.id
            assert documents[f"e::events::{record.id}"].endswith(b',"event":%b}' % record.value)
        return records


def counts(ledger: dict[str, Any]) -> Counter[str]:
    """The ledger's figures of events, of the pipeline to the store."""
    [line] = [one for one in ledger["pipelines"] if one["name"] == "store"]
    return Counter(accepted=ledger["accepted"], **{term: line[term] for term in TERMS})


@pytest.fixture
def account(dev: Dev) -> Account:
    return Account(dev)


@pytest.fixture(scope="session")
def keys(dev: Dev) -> dict[str, str]:
    return {key["name"]: key["key"] for key in dev.read("keys", "list", "acme")}


def altered(records: list[Stored], bodies: Iterable[bytes]) -> list[str]:
    """The ids of the records whose bytes are not in what was sent."""
    everything = b"\n".join(bodies)
    return [record.id for record in records if record.value not in everything]


def test_segments_node_sdk_loses_and_repeats_nothing(
    dev: Dev, keys: dict[str, str], account: Account, clients: Path
) -> None:
    sent = send_with("segment-node.mjs", clients, dev.url, keys["server"], "1000")
    assert len(set(sent.ids)) == 1000
    assert altered(account.check(sent.ids), sent.bodies) == []
    assert dev.audit()["balanced"]


@pytest.mark.parametrize("packing", ["gzip", "plain"])
def test_rudderstacks_node_sdk_loses_and_repeats_nothing(
    dev: Dev, keys: dict[str, str], account: Account, *, clients: Path, packing: str
) -> None:
    sent = send_with("rudder-node.mjs", clients, dev.url, keys["server"], "300", packing)
    assert len(set(sent.ids)) == 300
    assert altered(account.check(sent.ids), sent.bodies) == []


@pytest.mark.parametrize("script", ["segment-node.mjs", "rudder-node.mjs"])
def test_what_a_node_sdk_repeats_is_stored_once(
    dev: Dev, keys: dict[str, str], account: Account, *, clients: Path, script: str
) -> None:
    with halfway(dev.url, Fault) as proxy:
        sent = send_with(script, clients, proxy.url, keys["server"], "60", "plain")
    duplicates = repeats(proxy.exchanges)
    assert duplicates > 0
    account.check(sent.ids, duplicates=duplicates)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and keeps no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        pass


@pytest.fixture(scope="module")
def site(clients: Path) -> Iterator[str]:
    """The address of a website with the page of `clients/`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=clients)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Visit:
    """A page with Segment's browser SDK, behind a proxy."""

    def __init__(self, opened: ExitStack, page: Page, proxy: Halfway, url: str) -> None:
        """`opened` holds the page and the proxy."""
        self._opened = opened
        self._page = page
        self._proxy = proxy
        self.complaints = complaints(page)
        page.goto(url)
        self.ids: list[str] = []

    def call(self) -> None:
        """Make all calls. Where they go one by one, each was tried once when this returns."""
        self.ids = self._page.evaluate(f"visit({CALLS})")
        assert len(set(self.ids)) == CALLS

    def reload(self) -> None:
        self._page.reload()

    def exchanges(self) -> list[Exchange]:
        """
        All that went to and fro until the page knew of every event that it is stored, and was
        closed: until then it may send one more repeat.
        """
        self._proxy.wait_until(lambda seen: answered(seen) == set(self.ids))
        self._opened.close()
        return self._proxy.exchanges


OpenVisit = Callable[..., Visit]


@pytest.fixture
def open_visit(dev: Dev, keys: dict[str, str], browser: Browser, site: str) -> Iterator[OpenVisit]:
    with ExitStack() as all_opened:

        def begin(*, batch: int, faults: Iterable[Fault] = ()) -> Visit:
            opened = all_opened.enter_context(ExitStack())
            proxy = opened.enter_context(halfway(dev.url, faults))
            page = opened.enter_context(visitor(browser)).new_page()
            question = urlencode({"key": keys["web"], "instance": proxy.url, "batch": batch})
            return Visit(opened, page, proxy, f"{site}/page.html?{question}")

        yield begin


def ids_in(body: bytes) -> list[str]:
    """The messageIds of a request, whether it holds one event or a batch."""
    told = json.loads(body)
    return [event["messageId"] for event in told.get("batch", [told])]


def answered(exchanges: list[Exchange]) -> set[str]:
    """The ids of the events that a client knows to be stored."""
    good = [one.body for one in exchanges if one.fault is None and one.status == 200]
    return {id_ for body in good for id_ in ids_in(body)}


def repeats(exchanges: list[Exchange]) -> int:
    """How many events reached the instance that had reached it before."""
    ids = [id_ for exchange in exchanges for id_ in ids_in(exchange.body)]
    return len(ids) - len(set(ids))


@pytest.mark.needs("chromium")
@BATCHES
def test_segments_browser_sdk_loses_and_repeats_nothing(
    account: Account, open_visit: OpenVisit, batch: int
) -> None:
    visit = open_visit(batch=batch)
    visit.call()
    bodies = [exchange.body for exchange in visit.exchanges()]
    assert altered(account.check(visit.ids), bodies) == []
    assert visit.complaints == []


@pytest.mark.needs("chromium")
@BATCHES
@pytest.mark.parametrize("fault", Fault)
def test_what_segments_browser_sdk_repeats_is_stored_once(
    account: Account, open_visit: OpenVisit, *, fault: Fault, batch: int
) -> None:
    visit = open_visit(batch=batch, faults=[fault] * (2 if batch else CALLS + 2))
    visit.call()
    duplicates = repeats(visit.exchanges())
    assert duplicates > 0
    records = account.check(visit.ids, duplicates=duplicates)
    assert len({record.value for record in records}) > len(visit.ids)  # repeats have other bytes


@pytest.mark.needs("chromium")
def test_what_segments_browser_sdk_takes_along_to_the_next_page_is_stored_once(
    account: Account, open_visit: OpenVisit
) -> None:
    visit = open_visit(batch=0, faults=[Fault.CUT] * CALLS)
    visit.call()
    visit.reload()
    duplicates = repeats(visit.exchanges())
    assert duplicates > 0
    account.check(visit.ids, duplicates=duplicates)
