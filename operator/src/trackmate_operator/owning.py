"""
What an affiliate has in Kafka: claimed in the registry before it is made, and made by the backend.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from trackmate_contract.keybook import Book
from trackmate_operator import registration
from trackmate_operator.backend import Backend, Down, Item, Kept
from trackmate_operator.blocked import Blocked
from trackmate_operator.plan.kafka import Wanted
from trackmate_operator.registration import Registration
from trackmate_operator.status import bad, unknown

ACCEPTED = "Accepted"
TOPICS = "TopicsReady"


class Registry(Protocol):
    """Who has what. All methods raise Down."""

    @property
    def is_open(self) -> bool:
        """Whether this process may write, for all it knows."""
        ...

    async def open(self) -> None:
        """Read all there is, and be the one that writes; by whoever works, after any fault."""
        ...

    async def find(self, name: str) -> Registration | None:
        """What the affiliate of this name has; None where nobody ever had the name."""
        ...

    async def save(self, found: Registration) -> None:
        """It is kept when this returns."""
        ...

    async def forget(self, name: str) -> None:
        """The name is free."""
        ...


@dataclass(frozen=True)
class Owned:
    """What there is in Kafka."""

    registration: Registration
    kept: Kept


class Ownership:
    """Of topics and users in Kafka."""

    def __init__(self, registry: Registry, backend: Backend) -> None:
        self._registry = registry
        self._backend = backend

    async def claim(self, name: str, affiliate_id: str) -> Registration:
        """What the affiliate has, or is to have. Raises Blocked where the name is another's."""
        try:
            found = await self._registry.find(name)
        except Down as why:
            raise Blocked(unknown(TOPICS, "KafkaDown", str(why))) from None
        if found is None:
            return Registration(name, affiliate_id)
        if found.id != affiliate_id:
            raise Blocked(
                bad(
                    ACCEPTED,
                    "NameConflict",
                    f"The data under the name {name!r} belongs to the id {found.id!r}, not to "
                    f"{affiliate_id!r}; make the Affiliate with spec.id: {found.id} to take it "
                    "over, or choose another name.",
                )
            )
        return found

    async def keep(
        self, found: Registration, book: Book, wanted: Wanted, held: Mapping[str, str]
    ) -> Owned:
        """
        Make what is wanted, and remember it with the book of the write keys. `held` are the
        passwords that the affiliate's Secrets have.
        """
        try:
            return await self._keep(found, book, wanted, held)
        except Down as why:
            raise Blocked(unknown(TOPICS, "KafkaDown", str(why))) from None

    async def _keep(
        self, found: Registration, book: Book, wanted: Wanted, held: Mapping[str, str]
    ) -> Owned:
        names = [topic.name for topic in wanted.topics]
        there = await self._backend.topic_ids(sorted({*names, *found.topics}))
        present = registration.bereaved(found, there)
        claimed = replace(registration.claimed(present, names, there), book=book)
        if claimed != found:
            await self._registry.save(claimed)
        strangers = registration.foreign(claimed, names, there)
        ours = replace(
            wanted, topics=tuple(one for one in wanted.topics if one.name not in strangers)
        )
        kept = await self._backend.keep(found.name, found.id, ours, held)
        identified = registration.identified(claimed, {**there, **kept.topic_ids})
        if identified != claimed:
            await self._registry.save(identified)
        faults = {**kept.faults, **{Item("topic", name): _stranger(name) for name in strangers}}
        return Owned(identified, replace(kept, faults=faults))

    async def told(self, name: str) -> None:
        """What it lost was said, and need not be remembered any more. Raises Down."""
        found = await self._registry.find(name)
        if found is not None and found.lost:
            await self._registry.save(replace(found, lost=()))


def _stranger(name: str) -> str:
    return (
        f"Topic {name!r} is in Kafka and nobody's here; remove it with its data, or name the "
        "stream differently."
    )
