"""
An affiliate as the console's API shows it: address, keys, what to paste, and the books.
"""

from dataclasses import asdict
from typing import Any

from trackmate.backbone import STORE
from trackmate.declared import Declared, manifest_of
from trackmate.dev import paste, views
from trackmate.dev.instance import Instance
from trackmate.embedded.affiliate import EmbeddedAffiliate
from trackmate.embedded.keybook import IssuedKey
from trackmate.embedded.running import Running
from trackmate_consume.ledger import Line
from trackmate_consume.letters import Kept
from trackmate_consume.pipeline import Condition
from trackmate_contract.keybook import moment
from trackmate_contract.quantity import rfc3339


def affiliate(found: EmbeddedAffiliate, url: str) -> dict[str, Any]:
    spec = found.affiliate.spec
    return {
        "name": found.name,
        "namespace": found.affiliate.namespace,
        "displayName": (spec.display_name or found.name).encode("utf-8", "replace").decode(),
        "endpoint": url,
        "hosts": list(spec.ingest.hosts),
        "streams": [stream.name for stream in spec.streams],
        "limits": {
            "bodyBytes": spec.ingest.limits.body_bytes,
            "batchEvents": spec.ingest.limits.batch_events,
            "eventBytes": spec.ingest.limits.event_bytes,
        },
        "keys": [write_key(key) for key in found.keys],
        "snippet": paste.snippet(found.keys, url),
        "pinnedSnippet": paste.snippet(found.keys, url, pinned=True),
        "curl": paste.curl(found.keys, url),
        "ledger": books(found),
    }


def books(found: EmbeddedAffiliate) -> dict[str, Any]:
    """Without a pipeline that is put away while they are asked for: that is on another thread."""
    ledger = found.ledger()
    running = dict(found.pipelines.running)
    return {
        "accepted": ledger.accepted,
        "pipelines": [
            _pipeline(line, running[line.name]) for line in ledger.lines if line.name in running
        ],
        "balanced": ledger.balanced,
        "faults": list(ledger.faults),
    }


def all_declared(instance: Instance) -> list[Declared]:
    """What is declared and runs."""
    found, files = [], instance.files
    for name, running in sorted(instance.affiliates.items()):
        found.append(manifest_of(running.affiliate, name, files[name,]))
        for pipeline, declaration in sorted(running.pipelines.declared.items()):
            file = files[running.affiliate.namespace, pipeline]
            found.append(manifest_of(declaration.manifest, f"{name}/{pipeline}", file))
    return found


def pipeline(found: EmbeddedAffiliate, running: Running) -> dict[str, Any]:
    """One pipeline: its line of the ledger, and how it is."""
    [line] = found.backbone.ledger([running.group]).lines
    return _pipeline(line, running)


def _pipeline(line: Line, running: Running) -> dict[str, Any]:
    condition, group = running.pipeline.condition, running.group
    return {
        "name": line.name,
        "accepted": line.accepted,
        **asdict(line.counts),
        "in_flight": line.in_flight,
        "reasons": [
            {"term": term, "reason": reason, "events": events}
            for (term, reason), events in sorted(line.reasons.items())
        ],
        "lag_seconds": group.lag_seconds() if line.in_flight else 0.0,
        "last_error": running.pipeline.last_error,
        "ready": condition.ready,
        "reason": condition.reason,
        "message": condition.message,
        "conditions": _conditions(condition),
        "settled": running.pipeline.settled,
        "stream": group.reads.stream,
        "sink": _sink(running),
        "dead_letters": group.waiting(),
        "replay": group.latest_replay(),
    }


def _conditions(condition: Condition) -> list[dict[str, str]]:
    """As the resource's status has them on a cluster."""
    paused = condition.reason == "Paused"
    return [
        {
            "type": "Ready",
            "status": str(condition.ready),
            "reason": condition.reason,
            "message": condition.message,
        },
        {
            "type": "Paused",
            "status": str(paused),
            "reason": "Paused" if paused else "Running",
            "message": condition.message if paused else "",
        },
    ]


def _sink(running: Running) -> str:
    if running.declaration is None:
        return STORE
    sink = running.declaration.manifest.spec.sink
    return next(name for name in type(sink).model_fields if getattr(sink, name) is not None)


def dead_letter(kept: Kept) -> dict[str, Any]:
    """A dead letter with its original bytes."""
    letter = kept.letter
    return {
        "number": kept.number,
        **views.line(letter.record),
        "key": letter.record.key,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "dead": rfc3339(kept.dead_ms),
    }


def write_key(key: IssuedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "key": key.value,
        "use": key.use.value,
        "created": moment(key.created_ms),
        "expires": moment(key.expires_ms),
        "origins": list(key.origins),
    }
