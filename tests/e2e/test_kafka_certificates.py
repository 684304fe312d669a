"""
Certificates of clients, of brokers, and the authority of both, replaced while events go through
`trackmate-ingest` and `trackmate-consume`: by files alone, without a restart, and none is lost.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from consuming import Consuming, consuming
from ingest_program import KEYS, SPEC, Program, prepared, start_on
from kafka_broker import Cluster, certify, issued, kafka_brokers
from kafka_rotation import show, takes, trust
from mix import mix
from mounted import Mounted
from oracle import compare_log
from receiver import Receiver, receiving
from traffic import UNKNOWN, Ledger, Load, Outcome
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

OLD, NEW = trustme.CA(), trustme.CA()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """That asks for certificates, and takes nobody without one."""
    with kafka_brokers(authority=OLD, mutual=True, linked=True) as cluster:
        cluster.ca_file = cluster.brokers[0].home / "both.pem"  # of the administrator
        cluster.ca_file.write_text(files_of(OLD, OLD, NEW)["ca.pem"], "utf-8")
        cluster.create("acme.events", "acme.images")
        cluster.create("acme.crm.dead", partitions=1)
        yield cluster


def files_of(own: trustme.CA, *trusted: trustme.CA) -> dict[str, str]:
    """What a client holds: a certificate of the one, and the authorities that it trusts."""
    certificate, key = issued(own)
    ca = b"".join(one.cert_pem.bytes() for one in trusted)
    return {"ca.pem": ca.decode(), "cert.pem": certificate.decode(), "key.pem": key.decode()}


def tls(files: Mounted) -> dict[str, str]:
    return {
        "caFile": files.path("ca.pem"),
        "certFile": files.path("cert.pem"),
        "keyFile": files.path("key.pem"),
    }


@pytest.fixture
def ingest(cluster: Cluster, tmp_path: Path) -> Iterator[Program]:
    files, settings = prepared(tmp_path, cluster, spec=SPEC, workers=2)
    settings["kafka"]["tls"] = tls(files)
    files.write({**files_of(OLD, OLD), "settings.yaml": yaml.safe_dump(settings)})
    program = start_on(tmp_path, cluster, files, settings, list(KEYS))
    try:
        yield program
        assert program.stop() == 0, program.log
    finally:
        program.kill_what_is_left()


@pytest.fixture
def backend() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def consume(
    cluster: Cluster, ingest: Program, backend: Receiver, tmp_path: Path
) -> Iterator[Consuming]:
    settings: dict[str, Any] = {
        "affiliate": "acme",
        "pipeline": "crm",
        "spec": {"stream": "events", "sink": {"http": {"url": backend.url}}},
        "kafka": {"bootstrapServers": cluster.bootstrap, "tls": tls(ingest.files)},
        "allowedNetworks": ["127.0.0.0/8"],
    }
    with consuming(tmp_path, settings) as program:
        yield program


def take_over(ingest: Program, consume: Consuming, files: dict[str, str]) -> None:
    before = consume.log.count("taken over")
    ingest.change(files)
    wait_until(lambda: consume.log.count("taken over") > before, "the pipeline takes it over")


def rotate(cluster: Cluster, ingest: Program, consume: Consuming) -> None:
    """As Kafka's operators do it: both authorities, then the new certificates, then one."""
    old, new = cluster.own_file, cluster.brokers[0].home / "new.pem"
    assert old
    certify(new, NEW)
    trust(cluster, OLD, NEW)
    wait_until(lambda: takes(cluster, new), "the new authority is trusted")
    take_over(ingest, consume, files_of(NEW, OLD, NEW))
    show(cluster, NEW)
    trust(cluster, NEW)
    wait_until(lambda: not takes(cluster, old), "the old authority is trusted no more")
    cluster.own_file = new
    cluster.clients.cut()  # whoever goes on does so with what is new
    take_over(ingest, consume, files_of(NEW, NEW))


def test_certificates_of_clients_and_brokers_are_replaced_and_no_event_is_lost(
    cluster: Cluster, ingest: Program, *, consume: Consuming, backend: Receiver
) -> None:
    ledger = Ledger()

    async def scenario() -> None:
        load = Load(ingest.url, ingest.key("server"), ledger)
        load.begin(mix(1), connections=4)
        await load.until(lambda it: it.count(Outcome.OK) > 50, what="events with the old ones")
        await asyncio.to_thread(rotate, cluster, ingest, consume)
        before = ledger.count(Outcome.OK)
        await load.until(lambda it: it.count(Outcome.OK) > before + 50, what="more with the new")
        load.stop()
        await load.ended()

    asyncio.run(scenario())

    assert [attempt for attempt in ledger.attempts if attempt.outcome in UNKNOWN] == []
    log = [one for one in ingest.tail() if one.id.startswith("s1-")]
    assert not list(compare_log(ledger, log))
    events = {one.value for one in log if one.stream == "events"}
    assert events
    wait_until(
        lambda: {one.body for one in list(backend.requests)} >= events, "all came", seconds=60
    )
