"""
An Affiliate and its Pipelines as the command shows them: the form of the embedded mode, with null
for what only a running program knows. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trackmate_contract.faults import Faulty
from trackmate_contract.names import keys_secret
from trackmate_operator.declared import accepted, namespace_of
from trackmate_operator.tenant import Document

_UNTOLD = (
    *("accepted", "delivered", "duplicates", "conflicts", "filtered", "dead", "expired"),
    *("documents", "in_flight", "reasons", "lag_seconds", "last_error", "settled"),
    *("dead_letters", "replay"),
)
"""Of a pipeline: what its program counts, and the API server does not know."""


def affiliate(document: Document, pipelines: Iterable[Document]) -> dict[str, Any]:
    """One affiliate."""
    name, status = document["metadata"]["name"], document.get("status") or {}
    spec = document.get("spec") or {}
    return {
        "name": name,
        "namespace": namespace_of(document),
        "displayName": spec.get("displayName") or name,
        "endpoint": status.get("endpoint"),
        "hosts": list((spec.get("ingest") or {}).get("hosts") or ()),
        "streams": [stream["name"] for stream in spec.get("streams") or ()],
        "limits": _limits(document),
        "keys": None,
        "snippet": None,
        "pinnedSnippet": None,
        "curl": None,
        "ledger": {
            "accepted": None,
            "pipelines": [pipeline(one) for one in sorted(pipelines, key=_name)],
            "balanced": None,
            "faults": [],
        },
        "id": status.get("id"),
        "keySecret": status.get("keySecret") or keys_secret(name),
        **_how_it_is(document),
    }


def pipeline(document: Document) -> dict[str, Any]:
    """One pipeline."""
    spec = document.get("spec") or {}
    return {
        **dict.fromkeys(_UNTOLD),
        "name": _name(document),
        "stream": spec.get("stream"),
        "sink": next(iter(spec.get("sink") or {}), None),
        **_how_it_is(document),
    }


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _limits(document: Document) -> Mapping[str, int] | None:
    try:
        limits = accepted(document).spec.ingest.limits
    except Faulty:  # which its conditions say
        return None
    return {
        "bodyBytes": limits.body_bytes,
        "batchEvents": limits.batch_events,
        "eventBytes": limits.event_bytes,
    }


def conditions(document: Document) -> Sequence[Mapping[str, Any]]:
    """Those of its status."""
    return (document.get("status") or {}).get("conditions") or ()


def condition(document: Document, about: str) -> Mapping[str, Any] | None:
    """The one of a type."""
    return next((one for one in conditions(document) if one["type"] == about), None)


NOT_SEEN = "NotSeen"
_UNSEEN = {
    "ready": False,
    "reason": NOT_SEEN,
    "message": "No operator has looked at it since it was changed; see: trackmate doctor",
}


def _how_it_is(document: Document) -> dict[str, Any]:
    status, found = document.get("status") or {}, condition(document, "Ready")
    current = status.get("observedGeneration") == document["metadata"].get("generation")
    if found is None or not current:
        return {**_UNSEEN, "conditions": list(conditions(document))}
    return {
        "ready": found["status"] == "True",
        "reason": found["reason"],
        "message": found["message"],
        "conditions": list(conditions(document)),
    }
