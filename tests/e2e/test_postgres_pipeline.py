"""
A pipeline into PostgreSQL as its people meet it: what the table cannot hold is a dead letter with
the reason, and a replay writes rows anew.
"""

from collections.abc import Callable, Iterator

import pytest

from postgres import Server, started
from running import Dev
from waiting_for import wait_until

StartDev = Callable[..., Dev]

PIPELINE = """\
apiVersion: v1
kind: Secret
metadata: {{name: warehouse, namespace: trackmate-acme}}
stringData: {{url: "{url}"}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-table, namespace: trackmate-acme}}
spec:
  stream: events
  transform: {{jq: '{jq}'}}
  sink: {{postgres: {{connectionSecretRef: {{name: warehouse, key: url}}, table: {table}}}}}
  delivery: {{retry: {{for: 1s}}, batch: {{wait: 1s}}}}
  {more}
"""
SENTENCE = (
    "answered 22P05: unsupported Unicode escape sequence: \\u0000 cannot be converted to text; "
    "take it out in a transform, or make the column `document` json"
)

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def database() -> Iterator[Server]:
    with started() as server:
        yield server


def declare(
    dev: Dev, database: Server, *, jq: str = ".", table: str = "events", more: str = ""
) -> None:
    text = PIPELINE.format(url=database.url, jq=jq, table=table, more=more)
    (dev.manifests / "to-table.yaml").write_text(text, "utf-8")


def line(dev: Dev) -> dict[str, object]:
    found = [one for one in dev.audit()["pipelines"] if one["name"] == "to-table"]
    return found[0] if found else {}


def send(dev: Dev, *events: str) -> None:
    done = dev.command("send", "acme", "-", stdin="\n".join(events).encode())
    assert done.returncode == 0, done.stderr.decode()


def test_what_the_table_cannot_hold_is_a_dead_letter_and_can_be_replayed(
    start_dev: StartDev, database: Server
) -> None:
    dev = start_dev()
    declare(dev, database)
    wait_until(lambda: line(dev), "the pipeline is there")
    send(dev, *[f'{{"messageId": "e-{n}", "n": {n}}}' for n in range(20)])
    send(dev, '{"messageId": "nul", "text": "\\u0000"}')

    def dead() -> bool:
        send(dev, '{"messageId": "tick"}')  # the sink takes others meanwhile
        return line(dev)["dead"] == 1

    wait_until(dead, "the event is a dead letter", seconds=30)

    [letter] = dev.read("dead-letters", "list", "acme/to-table")["letters"]
    assert (letter["id"], letter["reason"]) == ("nul", "sink_refused")
    assert letter["detail"].startswith(SENTENCE)
    rows = database.sql("SELECT id FROM events ORDER BY id")
    assert rows == [*sorted([f"e-{n}"] for n in range(20)), ["tick"]]

    database.sql("ALTER TABLE events ALTER document TYPE json")
    declare(dev, database, more="replicas: 1")  # begins anew, and looks at the table
    dev.command("dead-letters", "replay", "acme/to-table")
    wait_until(lambda: line(dev).get("dead") == 0, "the event is delivered", seconds=30)

    assert database.value("SELECT document FROM events WHERE id = 'nul'").endswith('\\u0000"}')
    assert dev.settle()["balanced"]


def test_a_replay_writes_rows_as_the_transform_is_now(
    start_dev: StartDev, database: Server
) -> None:
    dev = start_dev()
    declare(dev, database, jq="{old: .n}, 2")
    wait_until(lambda: line(dev), "the pipeline is there")
    send(dev, *[f'{{"messageId": "e-{n}", "n": {n}}}' for n in range(20)])
    wait_until(lambda: line(dev)["delivered"] == 20, "all is delivered")

    declare(dev, database, jq="{new: .n}", more="replay: {id: mended}")
    wait_until(
        lambda: database.value("SELECT count(*) FROM events WHERE document ? 'new'") == "20",
        "the rows are written anew",
    )

    assert database.value("SELECT count(*) FROM events") == "20"
    books = dev.settle()
    assert books["balanced"]
    assert line(dev)["delivered"] == 20


def test_a_table_of_others_is_said_in_the_status(start_dev: StartDev, database: Server) -> None:
    database.sql("CREATE TABLE orders (id int PRIMARY KEY)")
    dev = start_dev()
    declare(dev, database, table="orders")

    def words() -> str:
        lines = dev.read("status")["affiliates"][0]["ledger"]["pipelines"]
        return next((str(one["message"]) for one in lines if one["reason"] == "SinkUnfit"), "")

    wait_until(words, "it is unfit")
    assert words().startswith("spec.sink.postgres.table: the table 'orders' has the column 'id' as")
