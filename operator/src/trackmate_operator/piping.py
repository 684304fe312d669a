"""
What the status of a Pipeline says. Pure.
"""

from collections.abc import Container

from trackmate_contract.names import dead_letter_topic, topic
from trackmate_operator.backend import Item, Kept
from trackmate_operator.declared import Pipelines
from trackmate_operator.plan.kafka import pipeline_user
from trackmate_operator.report import ACCEPTED, CREDENTIALS, PAUSED, TOPICS
from trackmate_operator.status import Condition, bad, good, ready, status, unknown
from trackmate_operator.tenant import Document, Tenant

_GOOD = "Its settings, topics and user are there."


def pipeline_status(
    document: Document, tenant: Tenant, declared: Pipelines, kept: Kept, *, now: str
) -> Document:
    """The whole status; what pods add to it (replicas, selector) stays."""
    name = document["metadata"]["name"]
    steps = _steps(name, document, tenant, declared, kept)
    why = next((one.paused for one in declared.taken if one.name == name), "")
    paused = (
        Condition(PAUSED, True, "Paused", f"Paused: {why}.")  # noqa: FBT003 - as in the resource
        if why
        else bad(PAUSED, "Running", "Nothing is paused.")
    )
    return _status(document, [ready(steps, _GOOD), *steps, paused], now)


def waiting(document: Document, reason: str, why: str, *, now: str) -> Document:
    """The status of one that nothing can be done for, whatever it says itself."""
    steps = [bad(ACCEPTED, reason, why), *_waits_for_accepted()]
    return _status(document, [ready(steps, _GOOD), *steps], now)


def is_told(document: Document) -> bool:
    """Whether its status speaks of it as it is now."""
    said = (document.get("status") or {}).get("observedGeneration")
    return bool(said == document["metadata"]["generation"])


def _status(document: Document, conditions: list[Condition], now: str) -> Document:
    before = document.get("status") or {}
    fields = {key: before[key] for key in ("replicas", "selector") if key in before}
    generation = document["metadata"]["generation"]
    return status(before, conditions, generation=generation, now=now, **fields)


def _waits_for_accepted() -> list[Condition]:
    return [unknown(step, "Waits", f"Waits for {ACCEPTED}.") for step in (TOPICS, CREDENTIALS)]


def _steps(
    name: str, document: Document, tenant: Tenant, declared: Pipelines, kept: Kept
) -> list[Condition]:
    fault = declared.faults.get(name)
    if fault is not None:
        runs = any(one.name == name for one in declared.taken)
        goes_on = " Until then it runs on as it did." if runs else ""
        accepted = bad(ACCEPTED, "Invalid", fault + goes_on)
    else:
        accepted = good(ACCEPTED, "The spec can be taken as it is.")
    if not any(one.name == name for one in declared.taken):
        return [accepted, *_waits_for_accepted()]
    stream = str(document["spec"].get("stream"))
    topics = [topic(tenant.name, stream), dead_letter_topic(tenant.name, name)]
    return [
        accepted,
        _kafka(
            TOPICS,
            [Item("topic", one) for one in topics],
            kept,
            kept.topic_ids,
            "Its topics are there.",
        ),
        _kafka(
            CREDENTIALS,
            [Item("user", pipeline_user(tenant.name, name))],
            kept,
            tenant.passwords,
            "Its Kafka user is there.",
        ),
    ]


def _kafka(
    about: str, items: list[Item], kept: Kept, there: Container[str], said: str
) -> Condition:
    for item in items:
        if item in kept.faults:
            return bad(about, "KafkaRefused", kept.faults[item])
        if item in kept.awaited:
            return unknown(about, "KafkaAwaited", kept.awaited[item])
    missing = [item.name for item in items if item.name not in there]
    if missing:
        return unknown(about, "KafkaDown", f"Nobody could be asked about {missing[0]!r}.")
    return good(about, said)
