"""
What the embedded mode stands on: the log of an affiliate, and what is kept in it or beside it for
each pipeline. There are two: SQLite, and Kafka (`trackmate dev --kafka`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from trackmate_consume.ledger import Ledger
from trackmate_consume.letters import DeadLetters, Kept
from trackmate_consume.pipeline import Asked, Replays
from trackmate_consume.source import Source
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.record import Record
from trackmate_ingest.log import Log

STORE = "store"
"""The built-in pipeline."""


class Reads(NamedTuple):
    """A pipeline and the stream that it reads; None for all, as `store` does."""

    pipeline: str
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records to show."""

    stream: str | None = None
    since_ms: int = 0
    from_end: bool = False
    limit: int | None = None
    follow: bool = False


class Unready(Exception):  # noqa: N818 - what the backbone is
    """It cannot carry this affiliate now; the message says why and what to do."""


class Group(Protocol):
    """
    A pipeline's standing, as a consumer group of Kafka has one: where it reads, what it put aside,
    what it sends again. All but `ask` blocks and may raise Down.
    """

    letters: DeadLetters
    replays: Replays
    log_id: str
    """Of the log that it reads: offsets of another one are of other events."""

    @property
    def reads(self) -> Reads:
        """What it reads."""

    def source(self) -> Source:
        """From where it last committed, on the event loop."""

    async def ask(self, asked: Asked) -> bool:
        """Start a replay; return False where one of this id was there before. Raises Down."""

    def lag_seconds(self) -> float:
        """How old the oldest event is that it has not settled."""

    def kept(self, *, after: int, most: int) -> list[Kept]:
        """Its dead letters in the order of being put aside, from behind a number."""

    def one(self, number: int) -> Kept | None:
        """The dead letter of this number."""

    def numbers(self, wanted: Sequence[int] | None) -> set[int]:
        """The numbers of the dead letters that there are, of those wanted; of all for None."""

    def waiting(self) -> int:
        """How many dead letters there are."""

    def latest_replay(self) -> dict[str, Any] | None:
        """`id`, `stream`, `events`, `begun_ms`, `ended_ms`; None where there was none."""

    def close(self) -> None:
        """The pipeline ended."""


class Backbone(Protocol):
    """Of one affiliate."""

    log: Log
    note: str
    """What those who ask whether it is ready should know; "" where that is nothing."""

    async def follow(self, affiliate: Affiliate) -> None:
        """Carry the streams of a manifest. Raises Unready."""

    async def group(self, reads: Reads, start: str | datetime) -> Group:
        """A pipeline's; `start` says where it begins if it is new. Raises Down and Unready."""

    async def streams(self) -> set[str]:
        """Those of the manifest, and others that it has events of. Raises Down."""

    def ledger(self, groups: Sequence[Group]) -> Ledger:
        """The books; where they are off, with the events that it is about. Blocks; raises Down."""

    def records(self, wanted: Wanted, closing: asyncio.Event) -> AsyncIterator[Sequence[Record]]:
        """Those wanted, in the order of each place."""

    def newest(
        self, closing: asyncio.Event, *, most: int, every_s: float, at_most_s: float
    ) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        """
        What comes, in rounds of `every_s` seconds and at most `most` records: how many were left
        out, and the newest. A first round without any says that what comes from then on is seen;
        later, one each `at_most_s` seconds.
        """

    async def close(self) -> None:
        """Stop; what is kept stays."""
