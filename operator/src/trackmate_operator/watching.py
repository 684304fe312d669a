"""
kopf's part: it watches, and whatever happens puts an affiliate's name into the queue. No handler
keeps a state, so that kopf writes nothing to any object.
"""

from collections.abc import Callable
from typing import Any

import kopf

from trackmate_operator.kinds import (
    AFFILIATE,
    CHILDREN,
    KAFKA_TOPIC,
    KAFKA_USER,
    NAMESPACE,
    PIPELINE,
    Kind,
)
from trackmate_operator.plan import objects
from trackmate_operator.seen import Seen

_SILENT_S = 120  # whole seconds: without a bookmark: the watch is dead, and begun again
_ANSWERED_S = 30.0


def registry(seen: Seen, add: Callable[[str], None], *, strimzi: bool) -> kopf.OperatorRegistry:
    """What to do with each event."""
    found = kopf.OperatorRegistry()

    def on_affiliate(*, type: str | None, body: kopf.Body, name: str, **_: Any) -> None:  # noqa: A002 - kopf's word
        document, gone = dict(body), type == "DELETED"
        seen.note(document, gone=gone)
        if seen.is_news(document, gone=gone):
            add(name)

    def on_other(*, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's word
        document = dict(body)
        if seen.is_news(document, gone=type == "DELETED"):
            for name in seen.concerned(document):
                add(name)

    kopf.on.login(registry=found)(_login)
    kopf.on.event(*_selector(AFFILIATE), registry=found, id="affiliate")(on_affiliate)
    kopf.on.event(*_selector(PIPELINE), registry=found, id="pipeline")(on_other)
    labels = {objects.AFFILIATE: kopf.PRESENT}
    of_strimzi = (KAFKA_TOPIC, KAFKA_USER) if strimzi else ()
    for kind in (NAMESPACE, *CHILDREN, *of_strimzi):
        kopf.on.event(*_selector(kind), registry=found, id=kind.plural, labels=labels)(on_other)
    return found


def settings() -> kopf.OperatorSettings:
    """Of kopf. What is not ours is filtered out by the server."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.persistence.diffbase_storage = _Forgetful()
    found.watching.inactivity_timeout = _SILENT_S
    found.watching.server_timeout = _SILENT_S * 2
    found.networking.request_timeout = _ANSWERED_S
    for kind in (NAMESPACE, *CHILDREN, KAFKA_TOPIC, KAFKA_USER):
        found.watching.label_selectors[_selector(kind)] = objects.AFFILIATE
    return found


class _Forgetful(kopf.DiffBaseStorage):
    """Keeps nothing; kopf would copy each object of each event, to compare it with another."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _selector(kind: Kind) -> tuple[str, str] | tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return (group, version, kind.plural) if group else (version, kind.plural)


def _login(*, logger: Any, **kwargs: Any) -> kopf.ConnectionInfo | None:
    """As kubectl does, or by the pod's service account."""
    return kopf.login_with_service_account(logger=logger, **kwargs) or kopf.login_with_kubeconfig(
        logger=logger, **kwargs
    )
