"""
The files while the program runs: what changes is taken over, what is faulty is said once and
changes nothing.

Kubernetes swaps a link to a folder of files, so that the folders of the files are watched and not
the files; and since some mounts tell of no change, everything is read again every few seconds.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from watchfiles import awatch

from trackmate_contract.faults import Faulty
from trackmate_ingest.configuration import Configuration, files, load
from trackmate_ingest.kafka_asking import ask
from trackmate_ingest.kafka_topics import Unanswered
from trackmate_ingest.state import State

_READ_AGAIN_MS = 5_000
_FAULTY = "the files are faulty, and what was in force stays"
_NOWHERE = "the new way to Kafka leads nowhere, and the old one stays in force"
_LATER = "taken over at the next start only"
_FIXED = ("affiliate", "listen", "metrics", "workers")

_log = logging.getLogger("trackmate.ingest")


class Following:
    """Keeps the configuration of `state` as the files say, and tells when it changed."""

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        state: State,
        changed: Callable[[], None],
    ) -> None:
        self._path = path
        self._environment = environment
        self._state = state
        self._changed = changed
        self._said: dict[str, object] = {}

    async def follow(self) -> None:
        while True:
            try:
                await self._watch(self._folders())
            except Exception:  # noqa: BLE001 - the next change must be seen, whatever this one did
                _log.exception("the files could not be followed; they are read again all the same")
            await asyncio.sleep(_READ_AGAIN_MS / 1000)
            await self._read_again()

    async def _watch(self, folders: set[Path]) -> None:
        """Until the files are in other folders. Raises where the system lets nobody watch."""
        watching = awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            debounce=400,
            step=50,
            rust_timeout=_READ_AGAIN_MS,
            yield_on_timeout=True,
        )
        async for _ in watching:
            await self._read_again()
            if folders != self._folders():
                return

    def _folders(self) -> set[Path]:
        named = (self._path, *files(self._state.configuration))
        return {path.parent for path in named if path.parent.is_dir()}

    async def _read_again(self) -> None:
        try:
            wanted = await asyncio.to_thread(load, self._path, self._environment)
        except Faulty as faulty:
            self._say(_FAULTY, faulty.faults)
            return
        self._say(_FAULTY, ())
        before = self._state.configuration
        wanted = await self._as_far_as_kafka_takes_it(self._as_far_as_it_changes_live(wanted))
        if wanted == before:
            return
        self._state.configuration = wanted
        self._changed()
        names = ("settings", "keys", "access")
        changed = [name for name in names if getattr(wanted, name) != getattr(before, name)]
        fields = {"changed": ", ".join(changed), "keys": len(wanted.keys)}
        _log.info("taken over", extra={"fields": fields})

    def _as_far_as_it_changes_live(self, wanted: Configuration) -> Configuration:
        now = self._state.configuration.settings
        kept = {name: getattr(now, name) for name in _FIXED}
        self._say(_LATER, [name for name in _FIXED if getattr(wanted.settings, name) != kept[name]])
        return replace(wanted, settings=wanted.settings.model_copy(update=kept))

    async def _as_far_as_kafka_takes_it(self, wanted: Configuration) -> Configuration:
        """With the way to Kafka that is in force, where the new one is none."""
        now = self._state.configuration
        if wanted.access != now.access:
            try:
                await ask(wanted.access.kafka, wanted.access.client, wanted.asked)
            except Unanswered as fault:
                self._say(_NOWHERE, [fault], about=wanted.access)  # it may say so in other words
                kafka = {"kafka": now.settings.kafka}
                settings = wanted.settings.model_copy(update=kafka)
                return replace(wanted, settings=settings, access=now.access)
        self._say(_NOWHERE, ())
        return wanted

    def _say(self, what: str, details: Iterable[object], about: object = None) -> None:
        """Each once, however often it is found; what is no more may be said again."""
        detail = "; ".join(map(str, details))
        about = about or detail
        if detail and self._said.get(what) != about:
            _log.error(what, extra={"fields": {"detail": detail}})
        self._said[what] = about
