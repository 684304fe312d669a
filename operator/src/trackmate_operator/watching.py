"""
kopf's part: it watches, and whatever happens puts an affiliate's name into the queue. No handler
keeps a state, so that kopf writes nothing to any object.
"""

from collections.abc import Callable
from typing import Any

import kopf

from trackmate_operator.declared import namespace_of
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
_IDLE_S = 0.5  # of a task that kopf keeps for each object: at a start all would live at once
_GONE = "DELETED"


def registry(
    seen: Seen, look_at: Callable[[str], None], orphaned: Callable[[str], None], *, strimzi: bool
) -> kopf.OperatorRegistry:
    """
    What to do with each event: look at an affiliate, by its name, or at a namespace whose Pipelines
    may be no affiliate's.
    """
    found = kopf.OperatorRegistry()
    told = _Told(seen, look_at, orphaned)
    kopf.on.login(registry=found)(_login)
    kopf.on.event(*_selector(AFFILIATE), registry=found, id="affiliate")(told.affiliate)
    kopf.on.event(*_selector(PIPELINE), registry=found, id="pipeline")(told.pipeline)
    labels = {objects.AFFILIATE: kopf.PRESENT}
    of_strimzi = (KAFKA_TOPIC, KAFKA_USER) if strimzi else ()
    for kind in (NAMESPACE, *CHILDREN, *of_strimzi):
        kopf.on.event(*_selector(kind), registry=found, id=kind.plural, labels=labels)(told.other)
    return found


class _Told:
    """
    What kopf calls; `type` is its word for what has happened. It calls what is not async on another
    thread, and nothing here is made for two.
    """

    def __init__(
        self, seen: Seen, look_at: Callable[[str], None], orphaned: Callable[[str], None]
    ) -> None:
        self._seen = seen
        self._look_at = look_at
        self._orphaned = orphaned

    async def affiliate(self, *, type: str | None, body: kopf.Body, name: str, **_: Any) -> None:  # noqa: A002
        document, gone = dict(body), type == _GONE
        self._seen.note(document, gone=gone)
        if self._seen.is_news(document, gone=gone):
            self._look_at(name)
        if gone:
            self._orphaned(namespace_of(document))

    async def pipeline(self, *, body: kopf.Body, **more: Any) -> None:
        await self.other(body=body, **more)
        namespace = body["metadata"]["namespace"]
        if not self._seen.is_owned(namespace):
            self._orphaned(namespace)

    async def other(self, *, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        document = dict(body)
        if self._seen.is_news(document, gone=type == _GONE):
            for name in self._seen.concerned(document):
                self._look_at(name)


def settings() -> kopf.OperatorSettings:
    """Of kopf. What is not ours is filtered out by the server."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.persistence.diffbase_storage = _Forgetful()
    found.queueing.idle_timeout = _IDLE_S
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
