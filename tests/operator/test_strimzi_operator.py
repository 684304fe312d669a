"""
The operator with Strimzi on a real control plane: it writes KafkaTopics and KafkaUsers, and what is
made of them in a real Kafka is what its programs work with. With the stand-in, and by `make
verify-strimzi` with the real one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_access import Cluster as Plane
from mounting import carried, files, keys
from operating import (
    SYSTEM,
    Operating,
    condition,
    operating,
    store,
    stored,
    topics,
    users,
    wait_for,
)
from strimzi_reached import Reached, strimzi_reached
from tenants import affiliate, pipeline
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(400)]

COPY = "trackmate-ingest-kafka"


@pytest.fixture(scope="module")
def at() -> Iterator[Reached]:
    with strimzi_reached() as found:
        yield found


@pytest.fixture(scope="module")
def operator(at: Reached, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operating]:
    home = tmp_path_factory.mktemp("operator")
    with operating(home, at.plane, at.kafka, **at.settings) as running:
        yield running
        take_away(at.plane)


APPLIED: set[str] = set()


def take_away(plane: Plane) -> None:
    """All affiliates, with their data: a real cluster is somebody's."""
    for name in APPLIED:
        patch = '{"spec":{"deletionPolicy":"Delete"}}'
        if plane.tried("patch", "affiliate", name, "--type=merge", "-p", patch).returncode == 0:
            plane.kubectl("annotate", "affiliate", name, f"trackmate.io/confirm-delete={name}")
    names = sorted(APPLIED)
    plane.kubectl("delete", "affiliate", *names, "--ignore-not-found", "--timeout=180s")


def ready(at: Reached, name: str, **spec: Any) -> Any:
    """Applied, and Ready."""
    APPLIED.add(name)
    at.plane.apply(affiliate(name, **spec))
    return wait_for(lambda: at.plane.read("affiliate", name))


def delete(at: Reached, name: str) -> None:
    at.plane.kubectl("delete", "affiliate", name, "--timeout=120s")


def password(at: Reached, name: str) -> str:
    return files(at.plane, "secret", COPY, f"trackmate-{name}")["password"]


def test_one_apply_is_ready_and_both_programs_log_in_with_what_strimzi_made(
    at: Reached, operator: Operating, tmp_path: Path
) -> None:
    plane, out, where = at.plane, tmp_path / "out", "trackmate-way"
    ready(at, "way", ingest={"keys": [{"name": "server", "use": "Server"}]})
    plane.apply(pipeline("to-files", where, sink={"files": {"path": str(out)}}, format="ndjson"))
    wait_for(lambda: plane.read("pipeline", "to-files", "-n", where))
    event = b'{"messageId":"m-1"}'
    carried(plane, "way", "to-files", event, home=tmp_path, out=out)


def test_the_copy_of_a_secret_is_the_affiliates_alone(at: Reached, operator: Operating) -> None:
    ready(at, "copied")
    metadata = at.plane.read("secret", COPY, "-n", "trackmate-copied")["metadata"]
    assert "ownerReferences" not in metadata
    assert not [label for label in metadata["labels"] if "strimzi" in label]
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "trackmate-operator"


def test_a_password_that_strimzi_made_anew_is_copied(at: Reached, operator: Operating) -> None:
    ready(at, "renewed")
    before = password(at, "renewed")
    at.delete("secret", "renewed-ingest")
    wait_until(lambda: password(at, "renewed") != before, "it is another", seconds=at.answered_s)
    wait_for(lambda: at.plane.read("affiliate", "renewed"))


def test_after_ready_no_resource_of_strimzi_is_written(at: Reached, operator: Operating) -> None:
    ready(at, "still")

    def versions() -> list[str]:
        found = at.plane.read(
            "kafkatopic,kafkauser", "-n", at.namespace, "-l", "trackmate.io/affiliate=still"
        )["items"]
        return [one["metadata"]["resourceVersion"] for one in found]

    before = versions()
    assert len(before) == 2
    for _ in range(2):  # it is looked at, as something of it was changed
        at.plane.kubectl("delete", "configmap", "trackmate-ingest", "-n", "trackmate-still")
        wait_until(
            lambda: (
                at.plane.tried(
                    "get", "configmap", "trackmate-ingest", "-n", "trackmate-still"
                ).returncode
                == 0
            ),
            "it was looked at",
        )
    assert versions() == before


@pytest.mark.parametrize(
    ("kind", "name", "patch"),
    [
        ("kafkatopic", "{0}.events", {"spec": {"config": {"retention.ms": "1000"}}}),
        ("kafkatopic", "{0}.events", {"spec": {"config": {"segment.ms": "1000"}}}),
        ("kafkatopic", "{0}.events", {"metadata": {"labels": {"trackmate.io/affiliate": None}}}),
        ("kafkauser", "{0}-ingest", {"spec": {"quotas": None}}),
        (
            "kafkauser",
            "{0}-ingest",
            {
                "spec": {
                    "authorization": {
                        "acls": [
                            {"resource": {"type": "topic", "name": "*"}, "operations": ["All"]}
                        ]
                    }
                }
            },
        ),
    ],
    ids=["changed", "added", "unlabelled", "unlimited", "widened"],
)
def test_hand_edits_are_mended_and_said_with_who_made_them(
    at: Reached,
    operator: Operating,
    request: pytest.FixtureRequest,
    kind: str,
    name: str,
    patch: dict[str, Any],
) -> None:
    whose = f"drift-{request.node.callspec.id}"
    ready(at, whose)
    name = name.format(whose)

    def body() -> Any:
        found = at.read(kind, name)
        return found["spec"], found["metadata"]["labels"].get("trackmate.io/affiliate")

    before = body()
    at.plane.kubectl(
        *("patch", kind, name, "-n", at.namespace, "--type=merge"),
        *("-p", json.dumps(patch), "--field-manager=night-shift"),
    )
    found = wait_for(lambda: at.plane.read("affiliate", whose), about="Drifted", reason="Mended")
    who = "somebody" if None in _leaves(patch) else "'night-shift'"  # who removes leaves no name
    shown = {"kafkatopic": "KafkaTopic", "kafkauser": "KafkaUser"}[kind]
    assert condition(found, "Drifted")[2] == (
        f"{shown} {name!r} in namespace {at.namespace} was changed by {who} and is mended."
    )
    assert body() == before
    wait_for(lambda: at.plane.read("affiliate", whose))


def _leaves(patch: Any) -> Iterator[Any]:
    if isinstance(patch, dict):
        for value in patch.values():
            yield from _leaves(value)
    else:
        yield patch


def test_a_stream_grows_and_one_that_leaves_the_spec_keeps_its_data(
    at: Reached, operator: Operating
) -> None:
    both = [{"name": "events"}, {"name": "orders", "partitions": 2}]
    ready(at, "growing", streams=both)
    store(at.kafka, "growing.orders")
    ready(at, "growing", streams=[{"name": "events", "partitions": 12}])
    assert at.read("kafkatopic", "growing.events")["spec"]["partitions"] == 12
    wait_until(
        lambda: at.read("kafkatopic", "growing.orders") is None, "it is let go of", seconds=60
    )
    assert stored(at.kafka, "growing.orders") == 1

    ready(at, "growing", streams=[{"name": "events", "partitions": 12}, both[1]])

    assert at.conditions("kafkatopic", "growing.orders")["Ready"][0] == "True"
    assert stored(at.kafka, "growing.orders") == 1


def test_a_stream_cannot_be_made_smaller_by_removing_and_adding_it_again(
    at: Reached, operator: Operating
) -> None:
    wide = {"name": "wide", "partitions": 4}
    ready(at, "around", streams=[{"name": "events"}, wide])
    ready(at, "around", streams=[{"name": "events"}])
    at.plane.apply(affiliate("around", streams=[{"name": "events"}, {**wide, "partitions": 2}]))
    found = wait_for(
        lambda: at.plane.read("affiliate", "around"), status="False", reason="KafkaRefused"
    )
    assert "'around.wide' has 4 partitions and is to have 2" in condition(found)[2]
    assert at.read("kafkatopic", "around.wide")["spec"]["partitions"] == 4


def test_a_pipeline_that_goes_takes_its_user_along_and_leaves_its_letters(
    at: Reached, operator: Operating
) -> None:
    ready(at, "leaves")
    at.plane.apply(pipeline("out", "trackmate-leaves"))
    wait_for(lambda: at.plane.read("pipeline", "out", "-n", "trackmate-leaves"))
    assert "leaves.out" in users(at.kafka)
    at.plane.kubectl("delete", "pipeline", "out", "-n", "trackmate-leaves")
    wait_until(lambda: "leaves.out" not in users(at.kafka), "it is gone", seconds=at.answered_s)
    wait_until(lambda: at.read("kafkatopic", "leaves.out.dead") is None, "so is its resource")
    assert "leaves.out.dead" in topics(at.kafka)


def test_a_deleted_affiliate_loses_no_data_and_its_yaml_brings_it_back(
    at: Reached, operator: Operating
) -> None:
    ready(at, "kept", id="af-1")
    at.plane.apply(pipeline("out", "trackmate-kept"))
    wait_for(lambda: at.plane.read("pipeline", "out", "-n", "trackmate-kept"))
    store(at.kafka, "kept.events")
    before = keys(at.plane, "kept")
    topic_id = at.read("kafkatopic", "kept.events")["status"]["topicId"]

    delete(at, "kept")

    assert not [user for user in users(at.kafka) if user.startswith("kept")]

    def left() -> list[str]:
        found = at.plane.read("kafkatopic,kafkauser,secret", "-n", at.namespace)["items"]
        names = [one["metadata"]["name"] for one in found]
        return [name for name in names if name.startswith("kept")]

    wait_until(lambda: not left(), "nothing is left beside Kafka")
    assert stored(at.kafka, "kept.events") == 1
    record = files(at.plane, "configmap", "retained-kept", SYSTEM)["retained.json"]
    assert json.loads(record)["topics"] == ["kept.events", "kept.out.dead"]

    ready(at, "kept", id="af-1")
    assert keys(at.plane, "kept") == before
    assert at.read("kafkatopic", "kept.events")["status"]["topicId"] == topic_id
    assert stored(at.kafka, "kept.events") == 1


def test_data_is_removed_only_when_it_was_confirmed(at: Reached, operator: Operating) -> None:
    """Also that of a stream which left the spec before."""
    both = [{"name": "events"}, {"name": "orders"}]
    ready(at, "removed", deletionPolicy="Delete", streams=both)
    ready(at, "removed", deletionPolicy="Delete", streams=both[:1])
    store(at.kafka, "removed.events")
    at.plane.kubectl("delete", "affiliate", "removed", "--wait=false")
    wait_for(lambda: at.plane.read("affiliate", "removed"), about="Deleting", reason="NotConfirmed")
    assert stored(at.kafka, "removed.events") == 1
    assert "removed.orders" in topics(at.kafka)

    at.plane.kubectl("annotate", "affiliate", "removed", "trackmate.io/confirm-delete=removed")

    at.plane.kubectl("wait", "--for=delete", "affiliate/removed", "--timeout=120s")
    assert not {"removed.events", "removed.orders"} & topics(at.kafka)
    assert at.read("kafkatopic", "removed.events") is None
