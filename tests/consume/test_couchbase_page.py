"""
What docs/sinks-couchbase.md says: its commands make what is needed, its settings are taken, and its
sentences are those that are told.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from couchbase_standin.standin import ADMIN, Standin, standing
from handing import placed
from trackmate_consume.ledger import Outcome
from trackmate_consume.sinks.couchbase import CouchbaseSink
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_faults import Place, fault_of, not_connected
from trackmate_consume.sinks.couchbase_reach import Reached, sentence
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_contract.couchbase import Couchbase, rules
from trackmate_contract.faults import Faulty
from trackmate_contract.faults import Place as Written
from trackmate_contract.manifest import parse
from trackmate_contract.names import conflict_key, document_key, made_conflict_key, made_key
from trackmate_contract.pipeline import Pipeline
from trackmate_contract.settings import read

PAGE = (Path(__file__).parents[2] / "docs" / "sinks-couchbase.md").read_text("utf-8")
PIPELINE, SETTINGS = (block[1] for block in re.finditer(r"(?ms)^```yaml\n(.*?)^```$", PAGE))
COMMANDS, _ = (block[1] for block in re.finditer(r"(?ms)^```sh\n(.*?)^```$", PAGE))
PASSWORD = "make your own"


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        yield running


@pytest.mark.needs("curl")
def test_the_commands_of_the_page_make_what_its_settings_need(
    standin: Standin, tmp_path: Path
) -> None:
    """One data node has no replica to make a write durable on, so here there is none."""
    given = {"ADMIN": f"{ADMIN.id}:{ADMIN.password}", "COUCHBASE": standin.url}
    commands = COMMANDS.replace("replicaNumber=1", "replicaNumber=0")
    subprocess.run(
        ["bash", "-e", "-c", commands],
        env={**os.environ, **given, "PASSWORD": PASSWORD},
        check=True,
    )
    (tmp_path / "password").write_text(PASSWORD)
    settings = yaml.safe_load(SETTINGS)
    del settings["caFile"]
    settings |= {"connectionString": standin.address, "passwordFile": str(tmp_path / "password")}
    declared = parse(yaml.safe_load(PIPELINE))
    assert isinstance(declared, Pipeline)
    spec = declared.spec.sink.couchbase
    assert spec

    async def main(sink: Couchbase) -> list[Outcome]:
        cluster = CouchbaseCluster(sink)
        try:
            spec = declared.spec.sink.couchbase
            assert spec
            orders, store = (
                CouchbaseSink(spec, cluster, pipeline="to-orders"),
                CouchbaseStore(cluster),
            )
            for one in (orders, store):
                await one.open()
            batch = [placed(0, "order-1", b"{}")]
            return [*await orders.write(batch), *await store.write(batch)]
        finally:
            await cluster.close()

    assert asyncio.run(main(Couchbase.model_validate(settings))) == [Outcome.DELIVERED] * 2
    assert [*standin.documents("acme", collection="orders")] == ["d::to-orders::0::order-1"]
    assert [*standin.documents("acme")] == ["e::events::order-1"]


def test_the_settings_of_the_page_fit_together() -> None:
    written = yaml.safe_load(SETTINGS)

    assert Couchbase.model_validate(written).expiry_s == 400 * 86_400
    assert [*rules(Written("couchbase", written))] == []
    alone = Written("couchbase", {**written, "connectionString": "couchbase://cb.example"})
    [fault] = rules(alone)
    assert str(fault) == (
        "couchbase.caFile: couchbase:// asks for no certificate, so an authority is of no use; "
        "write couchbases://, or remove caFile"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "http://cb.example",
        "couchbase://",
        "couchbase://user:canary@cb.example",
        "couchbase://cb.example?tls_verify=none",
        "cb.example",
    ],
)
def test_a_connection_string_has_hosts_alone(wrong: str) -> None:
    """What is in it by mistake may be a password, and is not repeated."""
    settings = {**yaml.safe_load(SETTINGS), "connectionString": wrong}

    with pytest.raises(Faulty) as refused:
        read(Couchbase, settings, {}, program="DEMO", value=str)
    assert str(refused.value) == (
        "connectionString: what is there is not a connection string; write couchbases://HOST, or "
        "several hosts with commas between; a user, a password and options have settings of their "
        "own"
    )


PATTERNS = {
    document_key("<stream>", "<id>"),
    conflict_key("<stream>", "<id>", "<fingerprint>"),
    made_key("<pipeline>", "<id>", 0).replace("::0::", "::<part>::"),
    made_conflict_key("<pipeline>", "<id>", 0, "<fingerprint>").replace("::0::", "::<part>::"),
}


def test_the_keys_of_the_page_are_those_that_are_made() -> None:
    assert set(re.findall(r"(?m)^\| .* \| `([ecdx]::.*?)` \|", PAGE)) == PATTERNS


def test_the_sentences_of_the_page_are_those_that_are_told() -> None:
    written = yaml.safe_load(SETTINGS)
    user, file = written["username"], written["passwordFile"]
    place = Place(user, "acme", "_default", "_default", "MajorityAndPersistActive")
    told = [
        not_connected(6, place, file),
        *[str(fault_of(code, place)) for code in (6, 10, 11, 108, 107, 109)],
        sentence({"cb.example:11207": Reached("cannot be connected to: connection refused")}),
    ]

    rows = re.findall(r"(?m)^\| .*? \| (.*) \|$", PAGE.split("In words:")[1])
    assert rows[1:] == told  # behind the head
