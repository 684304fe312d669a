"""
What the kubelet and Prometheus ask: whether the loop turns, whether this one could work, and
figures.
"""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

_STUCK_S = 30.0
_BEAT_S = 1.0


class Health:
    """Of one operator."""

    def __init__(
        self,
        registry: CollectorRegistry,
        elapsed_s: Callable[[], float],
        *,
        unready: Callable[[], str],
        stuck: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._elapsed_s = elapsed_s
        self._unready = unready
        """Why this process could not work; "" when it could, or does."""
        self._beaten = elapsed_s()
        self._stuck = stuck
        """What has not moved for too long; "" when everything has."""

    async def beat(self) -> None:
        """For ever; stops where the loop does."""
        while True:
            self._beaten = self._elapsed_s()
            await asyncio.sleep(_BEAT_S)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        late = self._elapsed_s() - self._beaten
        why = f"the loop has not turned for {late:.0f} s" if late > _STUCK_S else self._stuck()
        return _answer(why)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._unready())

    async def _metrics(self, _: web.Request) -> web.Response:
        content = generate_latest(self._registry)
        return web.Response(body=content, headers={"Content-Type": "text/plain; version=0.0.4"})


def _answer(why: str) -> web.Response:
    body = json.dumps({"status": "unready" if why else "ok", "reason": why}) + "\n"
    return web.Response(text=body, status=503 if why else 200, content_type="application/json")
