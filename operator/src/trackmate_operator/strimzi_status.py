"""
What Strimzi's operators say of a KafkaTopic or a KafkaUser, and what no word of theirs means. Pure.

The two differ: a topic that cannot be made is `Ready=False`, a user `NotReady=True`; a topic that
rests has no `Ready` at all. An annotation does not change the generation, so that a status that
looks current may be from before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trackmate_operator.kinds import KAFKA_TOPIC, ref
from trackmate_operator.settings import Strimzi
from trackmate_operator.tenant import Document

MANAGED = "strimzi.io/managed"
"""The annotation of a KafkaTopic; at "false" the topic stays when the resource is deleted."""
PAUSED = "strimzi.io/pause-reconciliation"
_UNMANAGED, _RESTS = "Unmanaged", "ReconciliationPaused"

PATIENCE_S = 30.0
"""How long an operator of Strimzi may take before it is taken to be away."""

_CURES = {
    "NotSupported": "set it back, or name the stream differently",
    "ResourceConflict": "remove the other KafkaTopic of this topic",
    "KafkaError": "see whether Kafka's brokers are well, and the Topic Operator's rights",
    "InvalidConfig": "add the setting to STRIMZI_ALTERABLE_TOPIC_CONFIG of the Topic Operator",
    "InvalidResourceException": "enable SCRAM-SHA-512 on a listener of the Kafka resource, and "
    "simple authorization",
}


@dataclass(frozen=True)
class Standing:
    """How it is with one resource. It is as it is to be where neither sentence is there."""

    fault: str = ""
    """What Strimzi cannot do, with the cure."""
    awaited: str = ""
    """Who is to act, and how it can be seen that they do not."""

    @property
    def ready(self) -> bool:
        return not self.fault and not self.awaited


def standing(document: Document, strimzi: Strimzi, *, now_ms: int) -> Standing:
    """Of a KafkaTopic or a KafkaUser as the API server has it."""
    awaited = _rests(document) or _unanswered(document, strimzi, now_ms)
    if awaited:
        return Standing(awaited=awaited)
    failed = _failed(document)
    if failed is not None:
        return Standing(fault=_fault(document, failed))
    if not _is_said(document, "Ready"):
        return Standing(awaited=f"{_waits(document)}.")
    return Standing()


def is_unmanaged(document: Document) -> bool:
    """Whether Strimzi has seen that it is to let go of the topic."""
    return MANAGED in _annotations(document) and _is_said(document, _UNMANAGED)


def is_let_go(document: Document) -> bool:
    """Whether Strimzi is told to let go of the topic."""
    return _annotations(document).get(MANAGED) == "false"


def _rests(document: Document) -> str:
    """Why nobody is to look at it; "" where somebody is."""
    one = ref(document)
    if "deletionTimestamp" in document["metadata"]:
        return (
            f"{one} is being deleted, and Strimzi's {_operator(document)} is still to agree; it is "
            "made anew once it is gone."
        )
    if is_let_go(document):
        return f"{one} is unmanaged; take its annotation {MANAGED} away."
    if _annotations(document).get(PAUSED) == "true":
        return f"{one} is paused; take its annotation {PAUSED} away."
    return ""


def _unanswered(document: Document, strimzi: Strimzi, now_ms: int) -> str:
    """That no operator has looked at it as it is; "" where one has."""
    status = document.get("status") or {}
    current = status.get("observedGeneration") == document["metadata"]["generation"]
    rested = _is_said(document, _UNMANAGED) or _is_said(document, _RESTS)
    if current and not rested:
        return ""
    if now_ms < _written_ms(document) + PATIENCE_S * 1000:
        return f"{_waits(document)}."
    operator = _operator(document)
    return (
        f"{_waits(document)}, which does not answer: see that the {operator} of the Kafka "
        f"{strimzi.cluster!r} in namespace {strimzi.namespace} runs, and looks into that namespace."
    )


def _waits(document: Document) -> str:
    return f"{ref(document)} waits for Strimzi's {_operator(document)}"


def _failed(document: Document) -> Mapping[str, Any] | None:
    """The condition that says so."""
    for one in _conditions(document):
        said = (one["type"], one["status"])
        if said in {("Ready", "False"), ("NotReady", "True")}:
            return one
        if said == ("Warning", "True") and one.get("reason") == "InvalidConfig":
            return one
    return None


def _fault(document: Document, failed: Mapping[str, Any]) -> str:
    reason, message = failed.get("reason", ""), str(failed.get("message", "")).rstrip(". ")
    operator = _operator(document)
    cure = _CURES.get(reason, f"see the log of the {operator}")
    return f"Strimzi's {operator} cannot make {ref(document)}: {reason}: {message}; {cure}."


def _operator(document: Document) -> str:
    return "Topic Operator" if document["kind"] == KAFKA_TOPIC.kind else "User Operator"


def _is_said(document: Document, about: str) -> bool:
    return any(one["type"] == about and one["status"] == "True" for one in _conditions(document))


def _conditions(document: Document) -> list[Mapping[str, Any]]:
    return [*((document.get("status") or {}).get("conditions") or [])]


def _annotations(document: Document) -> Mapping[str, str]:
    return document["metadata"].get("annotations") or {}


def _written_ms(document: Document) -> float:
    """When somebody last changed what is to be looked at, in milliseconds since 1970."""
    return max(datetime.fromisoformat(time).timestamp() * 1000 for time in _times(document))


def _times(document: Document) -> Iterator[str]:
    metadata = document["metadata"]
    yield metadata["creationTimestamp"]
    for one in metadata.get("managedFields", []):
        if one.get("subresource") != "status" and "time" in one:
            yield one["time"]
