"""
An affiliate as the console's API shows it: address, keys, what to paste, and the books.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from trackmate.dev import paste
from trackmate.embedded.affiliate import EmbeddedAffiliate
from trackmate.embedded.keybook import IssuedKey

_LATEST_S = 253_402_300_799  # the end of year 9999, the last that datetime and RFC 3339 know


def affiliate(found: EmbeddedAffiliate, url: str) -> dict[str, Any]:
    spec = found.affiliate.spec
    return {
        "name": found.name,
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
        "curl": paste.curl(found.keys, url),
        "ledger": _ledger(found),
    }


def _ledger(found: EmbeddedAffiliate) -> dict[str, Any]:
    ledger = found.ledger()
    return {
        "accepted": ledger.accepted,
        "pipelines": [
            {
                "name": line.name,
                **asdict(line.counts),
                "in_flight": line.in_flight,
                "lag_seconds": found.lag_seconds(line.in_flight),
                "last_error": found.pipeline.last_error,
            }
            for line in ledger.lines
        ],
        "balanced": ledger.balanced,
        "faults": list(ledger.faults),
    }


def write_key(key: IssuedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "key": key.value,
        "use": key.use.value,
        "created": _rfc3339(key.created_ms),
        "expires": _rfc3339(key.expires_ms),
        "origins": list(key.origins),
    }


def _rfc3339(epoch_ms: int | None) -> str | None:
    """
    >>> _rfc3339(0)
    '1970-01-01T00:00:00Z'
    """
    if epoch_ms is None:
        return None
    moment = datetime.fromtimestamp(min(epoch_ms / 1000, _LATEST_S), UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
