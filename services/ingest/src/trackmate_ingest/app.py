"""
The whole of ingest as one ASGI app: the hot path in front, FastAPI for everything else.
"""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI

from trackmate_ingest import problems
from trackmate_ingest.api import create_api
from trackmate_ingest.collect import Collector, Gone, Receive
from trackmate_ingest.intake import Directory, host_name
from trackmate_ingest.logs import Refusals
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.problems import CORS, PREFLIGHT, Answer, Refused
from trackmate_ingest.request import MAX_URL, Request, Scope, one_host
from trackmate_ingest.routes import Route, find
from trackmate_ingest.standing import Standing

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_OF_AN_AFFILIATE = ("/v1/", "/trackmate")
"""Below these, a host that is nobody's has nothing; probes come under any host."""

_log = logging.getLogger("trackmate.ingest")


class Ingest:
    """An ASGI app that takes events for the affiliates of `directory`."""

    def __init__(
        self, directory: Directory, metrics: Metrics, standing: Standing | None = None
    ) -> None:
        self.metrics = metrics
        self.collector = Collector(directory, metrics)
        self._refusals = Refusals(_log)
        self._api: FastAPI = create_api(self.collector, metrics, standing or Standing())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        route = find(scope["path"])
        if route is None and scope["method"] != "OPTIONS":
            await self._pass_on(scope, receive, send)
            return
        started = time.perf_counter()
        try:
            if route is not None and scope["method"] == "POST":
                answer = await self.collector.take(Request(route, scope), receive)
            else:
                self._check_host(scope)
                answer = _without_events(scope)
        except Gone:
            return
        except Refused as refused:
            answer = refused.answer
            self._note(answer, scope, route, refused)
        except Exception:  # noqa: BLE001 - whatever failed, a browser must be able to read so
            _log.exception("failed", extra={"fields": {"route": route.path if route else ""}})
            answer = Answer.problem(problems.FAILED, "Trackmate failed; the fault is in its log.")
        self.metrics.answered(answer.status, answer.kind, seconds=time.perf_counter() - started)
        await send(_start(answer))
        await send({"type": "http.response.body", "body": answer.body})

    def _note(self, answer: Answer, scope: Scope, route: Route | None, why: Refused) -> None:
        self._refusals.log(
            status=answer.status,
            kind=answer.kind,
            route=f"{scope['method']} {route.path if route else ''}",
            detail=str(why),
        )

    def _check_host(self, scope: Scope) -> None:
        """Raises Refused, 400 or 421; where events are taken, their collector looks."""
        host = one_host(scope)
        if scope["path"].startswith(_OF_AN_AFFILIATE):
            self.collector.directory.ring(host)
        else:
            host_name(host)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To FastAPI, with the CORS headers on whatever it answers."""

        async def with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *CORS]
            await send(message)

        try:
            _check_length(scope)
            self._check_host(scope)
        except Refused as refused:
            await send(_start(refused.answer))
            await send({"type": "http.response.body", "body": refused.answer.body})
            return
        await self._api(scope, receive, with_cors)


def _check_length(scope: Scope) -> None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URL:
        raise Refused(problems.URI_TOO_LONG, f"The address is over {MAX_URL} bytes. Shorten it.")


def _without_events(scope: Scope) -> Answer:
    """To a preflight, or to another method than POST on a route of events."""
    if scope["method"] == "OPTIONS":
        return Answer(204, PREFLIGHT, b"")
    raise Refused(
        problems.METHOD_NOT_ALLOWED,
        f"{scope['path']} does not take {scope['method']}. Send the events with POST.",
        headers=[(b"allow", b"POST, OPTIONS")],
    )


def _start(answer: Answer) -> Message:
    return {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
