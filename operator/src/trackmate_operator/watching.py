"""
kopf's part: it watches, and whatever happens puts an affiliate's name into the queue. No handler
keeps a state, so that kopf writes nothing to any object.

What is watched is what is served at the start. kopf would follow the CRDs, but it asks what is
served at the moment of a CRD's event, which can be too early, and never again; and the watch of a
kind whose CRD is gone does not end, and stays silent though the CRD comes back. So the process ends
with a kind that it watches, and is begun anew.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable
from typing import Any

import kopf
from kopf._cogs.structs.references import Insights  # an argument of kopf's, without another name

from trackmate_operator.declared import namespace_of
from trackmate_operator.kinds import (
    AFFILIATE,
    CHILDREN,
    CRD,
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
_END_S = 20.0  # that the watches may take to end, once one of them did
_IDLE_S = 0.5  # of a task that kopf keeps for each object: at a start all would live at once
_GONE = "DELETED"

_log = logging.getLogger("trackmate.operator")


class Watches:
    """Of one process."""

    def __init__(
        self,
        seen: Seen,
        look_at: Callable[[str], None],
        orphaned: Callable[[str], None],
        *,
        strimzi: bool,
    ) -> None:
        """
        What happens is a reason to look at an affiliate, by its name, or at a namespace whose
        Pipelines may be no affiliate's.
        """
        self._told = _Told(seen, look_at, orphaned)
        self._labelled = (NAMESPACE, *CHILDREN, *((KAFKA_TOPIC, KAFKA_USER) if strimzi else ()))
        self._relied_on = (AFFILIATE, PIPELINE, *self._labelled)
        self._unwatched: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self, *, begun: asyncio.Event, stopping: asyncio.Event) -> str:
        """Until it is told to stop; or gives a sentence about what can not be watched."""
        insights = Insights()
        self._unwatched.add_done_callback(lambda _: stopping.set())
        beginning = asyncio.create_task(self._begin(insights, begun))
        try:
            ours = asyncio.all_tasks()
            watching = await kopf.spawn_tasks(
                registry=self._registry(),
                settings=_settings(self._labelled),
                insights=insights,
                clusterwide=True,
                standalone=True,
                stop_flag=stopping,
            )
            await _ended(watching, ours)
        finally:
            beginning.cancel()
        return self._unwatched.result() if self._unwatched.done() else ""

    async def _begin(self, insights: Insights, begun: asyncio.Event) -> None:
        await insights.ready_resources.wait()
        watched = {(one.group, one.plural) for one in insights.watched_resources}
        missing = [kind for kind in self._relied_on if (kind.group, kind.plural) not in watched]
        if missing:
            self._lose(f"The API server does not serve {missing[0].resource} yet.")
        else:
            begun.set()

    async def _crd(self, *, type: str | None, name: str, **_: Any) -> None:  # noqa: A002
        if type == _GONE and name in {kind.resource for kind in self._relied_on}:
            self._lose(f"The CRD {name} was deleted.")

    def _lose(self, sentence: str) -> None:
        if not self._unwatched.done():
            self._unwatched.set_result(sentence)

    def _registry(self) -> kopf.OperatorRegistry:
        found = kopf.OperatorRegistry()
        kopf.on.login(registry=found)(_login)
        kopf.on.event(*_selector(CRD), registry=found, id="crd")(self._crd)
        kopf.on.event(*_selector(AFFILIATE), registry=found, id="affiliate")(self._told.affiliate)
        kopf.on.event(*_selector(PIPELINE), registry=found, id="pipeline")(self._told.pipeline)
        for kind in self._labelled:
            kopf.on.event(
                *_selector(kind),
                registry=found,
                id=kind.plural,
                labels={objects.AFFILIATE: kopf.PRESENT},
            )(self._told.other)
        return found


async def _ended(watching: Collection[asyncio.Task[Any]], ours: set[asyncio.Task[Any]]) -> None:
    """
    Wait until one of kopf's own tasks ends, and then the others, which it may wait for in vain: a
    watch whose connection uvloop and aiohttp disagree about hears of no end, and its process would
    go on and see nothing.
    """
    ending = asyncio.create_task(kopf.run_tasks(watching, ignored=ours))
    try:
        await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
        if not (await asyncio.wait({ending}, timeout=_END_S))[0]:
            _log.critical("ended", extra={"fields": {"fault": "The watches could not be ended."}})
            os._exit(1)
        await ending
    finally:
        ending.cancel()


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

    async def pipeline(self, *, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        self._seen.note_pipeline(dict(body), gone=type == _GONE)
        await self.other(type=type, body=body)
        namespace = body["metadata"]["namespace"]
        if not self._seen.is_owned(namespace):
            self._orphaned(namespace)

    async def other(self, *, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        document = dict(body)
        if self._seen.is_news(document, gone=type == _GONE):
            for name in self._seen.concerned(document):
                self._look_at(name)


def _settings(labelled: Iterable[Kind]) -> kopf.OperatorSettings:
    """Of kopf. What is not ours is filtered out by the server."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.persistence.diffbase_storage = _Forgetful()
    found.queueing.idle_timeout = _IDLE_S
    found.scanning.disabled = True
    found.watching.inactivity_timeout = _SILENT_S
    found.watching.server_timeout = _SILENT_S * 2
    found.networking.request_timeout = _ANSWERED_S
    for kind in labelled:
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
    found = (kind.version, kind.plural)
    return (kind.group, *found) if kind.group else found


def _login(*, logger: Any, **kwargs: Any) -> kopf.ConnectionInfo | None:
    """As kubectl does, or by the pod's service account."""
    return kopf.login_with_service_account(logger=logger, **kwargs) or kopf.login_with_kubeconfig(
        logger=logger, **kwargs
    )
