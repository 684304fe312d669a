"""
When a KafkaTopic or a KafkaUser is as it is to be: by a table of what Strimzi's operators say.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from trackmate_operator.settings import Strimzi
from trackmate_operator.strimzi_status import is_unmanaged, standing

STRIMZI = Strimzi(cluster="events", namespace="kafka")
WRITTEN = "2026-11-28T10:00:00Z"
WRITTEN_MS = int(datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp() * 1000)
SOON_MS, LATE_MS = WRITTEN_MS + 5_000, WRITTEN_MS + 60_000

TOPIC = "KafkaTopic 'acme.events' in namespace kafka"
USER = "KafkaUser 'acme-ingest' in namespace kafka"
NO_TOPIC = f"Strimzi's Topic Operator cannot make {TOPIC}:"
NO_USER = f"Strimzi's User Operator cannot make {USER}:"
NO_ANSWER = (
    "which does not answer: see that the {operator} of the Kafka 'events' in namespace kafka runs, "
    "and looks into that namespace."
)


def topic(*conditions: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return resource("KafkaTopic", "acme.events", conditions, **more)


def user(*conditions: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return resource("KafkaUser", "acme-ingest", conditions, **more)


def resource(
    kind: str,
    name: str,
    conditions: tuple[tuple[str, ...], ...],
    *,
    observed: int = 2,
    annotations: dict[str, str] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """Of generation 2; a condition is its type, status, reason and message."""
    keys = ("type", "status", "reason", "message")
    said = [dict(zip(keys, one, strict=False)) for one in conditions]
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "kafka",
            "generation": 2,
            "creationTimestamp": WRITTEN,
            "annotations": annotations or {},
            **metadata,
        },
        "status": {"observedGeneration": observed, "conditions": said},
    }


READY = ("Ready", "True")


@pytest.mark.parametrize(
    "document",
    [
        topic(READY),
        user(READY),
        topic(READY, ("Warning", "True", "AutoCreate", "auto.create.topics.enable is true")),
        topic(READY, annotations={"strimzi.io/managed": "true"}),
        topic(READY, annotations={"strimzi.io/pause-reconciliation": "false"}),
    ],
)
def test_is_ready(document: dict[str, Any]) -> None:
    assert standing(document, STRIMZI, now_ms=LATE_MS).ready


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (
            topic(("Ready", "False", "NotSupported", "Decreasing partitions not supported")),
            (
                f"{NO_TOPIC} NotSupported: Decreasing partitions "
                "not supported; set it back, or name the stream differently."
            ),
        ),
        (
            topic(("Ready", "False", "ResourceConflict", "Managed by Ref{…}")),
            (
                f"{NO_TOPIC} ResourceConflict: Managed by Ref{{…}}; "
                "remove the other KafkaTopic of this topic."
            ),
        ),
        (
            topic(("Ready", "False", "KafkaError", "Timed out.")),
            (
                f"{NO_TOPIC} KafkaError: Timed out; see whether "
                "Kafka's brokers are well, and the Topic Operator's rights."
            ),
        ),
        (
            topic(("Ready", "False", "InternalError", "a bug")),
            (f"{NO_TOPIC} InternalError: a bug; see the log of the Topic Operator."),
        ),
        (
            topic(READY, ("Warning", "True", "InvalidConfig", "These are ignored: retention.ms")),
            (
                f"{NO_TOPIC} InvalidConfig: These are ignored: "
                "retention.ms; add the setting to STRIMZI_ALTERABLE_TOPIC_CONFIG of the Topic "
                "Operator."
            ),
        ),
        (
            user(("NotReady", "True", "InvalidResourceException", "No simple authorization")),
            (
                f"{NO_USER} InvalidResourceException: No simple "
                "authorization; enable SCRAM-SHA-512 on a listener of the Kafka resource, and "
                "simple authorization."
            ),
        ),
    ],
)
def test_a_failure_is_told_with_its_object_and_its_cure(
    document: dict[str, Any], fault: str
) -> None:
    found = standing(document, STRIMZI, now_ms=SOON_MS)
    assert (found.fault, found.awaited) == (fault, "")


@pytest.mark.parametrize(
    ("document", "awaited"),
    [
        (
            topic(READY, annotations={"strimzi.io/managed": "false"}),
            f"{TOPIC} is unmanaged; take its annotation strimzi.io/managed away.",
        ),
        (
            user(READY, annotations={"strimzi.io/pause-reconciliation": "true"}),
            f"{USER} is paused; take its annotation strimzi.io/pause-reconciliation away.",
        ),
        (topic(("Unmanaged", "True")), f"{TOPIC} waits for Strimzi's Topic Operator."),
        (user(("ReconciliationPaused", "True")), f"{USER} waits for Strimzi's User Operator."),
        (topic(READY, observed=1), f"{TOPIC} waits for Strimzi's Topic Operator."),
        (
            topic(("Ready", "False", "KafkaError", "of before"), observed=1),
            f"{TOPIC} waits for Strimzi's Topic Operator.",
        ),
        (user(), f"{USER} waits for Strimzi's User Operator."),
        ({**topic(), "status": None}, f"{TOPIC} waits for Strimzi's Topic Operator."),
        (
            topic(READY, deletionTimestamp=WRITTEN),
            (
                f"{TOPIC} is being deleted, and Strimzi's Topic Operator is still to agree; it is "
                "made anew once it is gone."
            ),
        ),
    ],
)
def test_who_is_to_act_is_named(document: dict[str, Any], awaited: str) -> None:
    found = standing(document, STRIMZI, now_ms=SOON_MS)
    assert (found.fault, found.awaited) == ("", awaited)


@pytest.mark.parametrize(
    ("document", "operator"),
    [
        ({**topic(), "status": {}}, "Topic Operator"),
        (topic(READY, observed=1), "Topic Operator"),
        (topic(("Unmanaged", "True")), "Topic Operator"),
        ({**user(), "status": {}}, "User Operator"),
    ],
)
def test_who_does_not_answer_for_long_is_taken_to_be_away(
    document: dict[str, Any], operator: str
) -> None:
    one = TOPIC if document["kind"] == "KafkaTopic" else USER
    found = standing(document, STRIMZI, now_ms=LATE_MS)
    assert found.awaited == (
        f"{one} waits for Strimzi's {operator}, {NO_ANSWER.format(operator=operator)}"
    )


def test_the_time_counts_from_the_last_change_and_not_from_a_status() -> None:
    later = "2026-11-28T10:00:50Z"
    by = {"manager": "kubectl", "time": later}
    changed = topic(READY, observed=1, managedFields=[by])
    said = topic(READY, observed=1, managedFields=[{**by, "subresource": "status"}])
    assert "does not answer" not in standing(changed, STRIMZI, now_ms=LATE_MS).awaited
    assert "does not answer" in standing(said, STRIMZI, now_ms=LATE_MS).awaited


def test_a_topic_is_let_go_of_once_strimzi_says_so() -> None:
    told = {"strimzi.io/managed": "false"}
    assert not is_unmanaged(topic(READY, annotations=told))
    assert is_unmanaged(topic(("Unmanaged", "True"), annotations=told))
