"""
How the topics and users of affiliates are made: by the operator itself (`kafka/direct.py`), or by
Strimzi (`kafka/strimzi.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from trackmate_operator.kinds import Ref
from trackmate_operator.plan.kafka import Wanted


class Down(Exception):  # noqa: N818 - what happened
    """Nobody answers, or lets us in; a sentence with the next step. Nothing is known by it."""


class Item(NamedTuple):
    """Something in Kafka. A topic and a user may have one name: of a stream and of a pipeline."""

    what: Literal["topic", "user"]
    name: str


@dataclass(frozen=True)
class Kept:
    """What there is of what was wanted, after all was done that could be."""

    topic_ids: Mapping[str, str]
    """Of the topics that are as they are to be: Kafka's ids, by their names."""
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of the users that are as they are to be."""
    faults: Mapping[Item, str] = field(default_factory=dict)
    """Topics and users that cannot be made so: a sentence each, with the cure."""
    awaited: Mapping[Item, str] = field(default_factory=dict)
    """Those that somebody else is still to make: a sentence each, that names who."""
    changed: Sequence[str] = ()
    """What this pass changed, in words, each a line of an Event."""
    mended: Mapping[Ref, str] = field(default_factory=dict)
    """Objects of Kubernetes that somebody had changed, each with who."""
    left: Sequence[Ref] = ()
    """Those that somebody changed again, and that rest for now."""


class Backend(Protocol):
    """
    Makes and keeps. Every method is idempotent, and may end anywhere: the next call goes on. All of
    them raise Down.
    """

    async def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        """Kafka's ids of those that are there, whoever made them."""
        ...

    async def keep(
        self, affiliate: str, affiliate_id: str, wanted: Wanted, held: Mapping[str, str]
    ) -> Kept:
        """
        Make what is missing and mend what differs; users of the affiliate that are not wanted any
        more are revoked, topics never removed. What is as it is to be is not written again.

        `held` are the passwords that the affiliate's own Secrets have, by the user: where one is
        not the user's, it is set anew.
        """
        ...

    async def revoke(self, affiliate: str) -> None:
        """Take every user of the affiliate away, with what it may do."""
        ...

    async def release(self, affiliate: str, topics: Sequence[str]) -> None:
        """Manage these no more; they stay, with their data."""
        ...

    async def drop(self, affiliate: str, topics: Sequence[str]) -> None:
        """Remove these with their data."""
        ...
