"""
One affiliate in embedded mode: its file, and what runs on it.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackmate.backbone import Backbone
from trackmate.embedded import books, control, insights, keybook, letters, log, replays, store
from trackmate.embedded.backbone import EmbeddedBackbone
from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database
from trackmate.embedded.insights import EmbeddedInsights
from trackmate.embedded.keybook import IssuedKey
from trackmate.embedded.running import Declaration, Pipelines
from trackmate_consume.ledger import Ledger
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.keybook import UnknownKey
from trackmate_ingest.intake import Intake

_PARTS = (log, store, insights, books, keybook, letters, replays, control)
_SCHEMA = "".join(part.SCHEMA for part in _PARTS)

BackboneOf = Callable[[str, Database], Backbone]
"""What an affiliate of this name stands on, beside its file."""


def on_its_file(_: str, database: Database) -> Backbone:
    """Everything in the affiliate's file."""
    return EmbeddedBackbone(database)


class NameConflict(Exception):  # noqa: N818 - the reason's name in the resource's status too
    """The data under this name belongs to another affiliate."""


class EmbeddedAffiliate:
    """A running affiliate. `affiliate` is the manifest that it follows."""

    def __init__(
        self, affiliate: Affiliate, directory: Path, root: bytes, backbone_of: BackboneOf
    ) -> None:
        self.affiliate = affiliate
        self.keys: list[IssuedKey] = []
        self.database = Database(directory / f"{affiliate.name}.db", _SCHEMA)
        self.backbone = backbone_of(affiliate.name, self.database)
        self._root = root
        self.given: dict[str, str] = {}
        self._insights_kept: asyncio.Task[None] | None = None
        self.pipelines = Pipelines(affiliate.name, self.database, self.backbone)
        self.insights = EmbeddedInsights(self.database)

    @property
    def name(self) -> str:
        return self.affiliate.name

    async def start(self, given: dict[str, str]) -> None:
        """Run. Raises NameConflict where the data is another's, and Unready."""
        await self.follow(self.affiliate, given)
        await self.pipelines.start()
        self._insights_kept = asyncio.create_task(self.insights.keep_on())

    async def follow_pipelines(self, declared: Mapping[str, Declaration]) -> None:
        """Run these, and no others but `store`."""
        await self.pipelines.follow(declared)

    async def follow(self, affiliate: Affiliate, given: dict[str, str]) -> None:
        """Take over a changed manifest. Raises NameConflict and Unready."""
        offered = affiliate.spec.id or affiliate.name
        found = await self._write(lambda c: keybook.identify(c, offered))
        if affiliate.spec.id not in {None, found}:
            raise NameConflict(
                f"the data of {affiliate.name!r} belongs to the id {found!r}, not "
                f"{affiliate.spec.id!r}; set spec.id: {found}, or choose another name"
            )
        await self.backbone.follow(affiliate)
        if affiliate.spec.streams != self.affiliate.spec.streams:
            await self.pipelines.restart_store()
        self.affiliate = affiliate
        self.given = given
        spec = affiliate.spec.ingest.keys
        await self._write(lambda c: keybook.follow_spec(c, spec, now_ms=now_ms()))
        await self.change_keys(lambda _: None)

    async def change_keys(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Write a change of the keys, then hold what is in force."""

        def work(connection: sqlite3.Connection) -> list[IssuedKey]:
            change(connection)
            spec = self.affiliate.spec.ingest.keys
            return keybook.issued(connection, spec, root=self._root, given=self.given)

        self.keys = await self._write(work)

    def intake(self) -> Intake:
        """What ingest needs of this affiliate now."""
        return Intake(
            self.name,
            self.affiliate.spec,
            keys=[key.open() for key in self.keys],
            log=self.backbone.log,
            now=time.monotonic(),
        )

    def ledger(self) -> Ledger:
        """The books; where they are off, with the events that it is about. Raises Down."""
        return self.backbone.ledger(self.pipelines.groups)

    def figures(self) -> dict[str, Any]:
        with contextlib.closing(self.database.reader()) as reader:
            return store.figures(reader, now_ms=now_ms())

    async def close(self) -> None:
        """Stop; the file stays as it is."""
        await self.pipelines.close()
        if self._insights_kept is not None:
            self._insights_kept.cancel()
            await asyncio.gather(self._insights_kept, return_exceptions=True)
        await self.backbone.close()
        await self.database.close()

    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self.database.submit(_one_by_one, work)


def _one_by_one(
    connection: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]
) -> list[Any]:
    return [_undone_if_refused(connection, work) for work in works]


def _undone_if_refused(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]
) -> Any:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except (UnknownKey, ValueError) as refusal:
        connection.execute("ROLLBACK TO work")
        result = refusal
    connection.execute("RELEASE work")
    return result
