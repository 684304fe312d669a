"""
Whether the topics keep the promise, looked at again and again.

Ready is who may promise what 200 says: until the topics have once been found to keep the promise,
nothing is taken. What is found later is said and counted, and events are taken on. A pod that
left its Service because of a topic would take the other pods with it, as they all have that topic;
and who lowers min.insync.replicas at night to get through an outage wants events to be taken.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from trackmate_ingest.channel import InForce
from trackmate_ingest.kafka_asking import ask
from trackmate_ingest.kafka_topics import RELAXED, Unanswered
from trackmate_ingest.state import State

_FIRST_S, _LONGEST_S = 1.0, 30.0  # between looks at topics that are not right yet
_LATER_S = 300.0

_log = logging.getLogger("trackmate.ingest")


class Looking:
    """Keeps `state` true about the topics, and tells of each change."""

    def __init__(self, state: State, tell: Callable[[InForce], None]) -> None:
        self._state = state
        self._tell = tell
        self._now = asyncio.Event()

    def look_now(self) -> None:
        """What is asked of the topics changed, or who asks."""
        self._now.set()

    async def look_on(self) -> None:
        pause = _FIRST_S
        while True:
            self._now.clear()
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - the next look may be better
                _log.exception("the topics could not be looked at")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self._state.fault else _LATER_S):
                    await self._now.wait()
                pause = _FIRST_S
                continue
            pause = min(2 * pause, _LONGEST_S)

    async def _look(self) -> None:
        state = self._state
        before = state.in_force()
        access = before.configuration.access
        try:
            found = await ask(access.kafka, access.client, before.configuration.asked)
        except Unanswered as fault:
            if not state.fault:  # an outage: requests are answered, with 503
                return
            found = [str(fault)]
        state.topic_faults = found
        said = " ".join(found)
        if state.fault:
            state.fault = said
        state.note = said or (RELAXED if access.kafka.relaxed else "")
        if (state.fault, state.note) != (before.fault, before.note):
            self._say(found, ready_now=bool(before.fault) and not state.fault)
            self._tell(state.in_force())

    def _say(self, found: list[str], *, ready_now: bool) -> None:
        for sentence in found:
            fields = {"fault": sentence, "ready": not self._state.fault}
            _log.error("topics", extra={"fields": fields})
        if ready_now:
            _log.info("ready", extra={"fields": {"note": self._state.note}})
