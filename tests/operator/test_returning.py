"""
Kafka's return is told once, and only where it was away.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import pytest

from trackmate_operator import returning
from trackmate_operator.backend import Backend, Down


class Answers:
    """A Kafka that answers so, and then nothing any more."""

    def __init__(self, said: str) -> None:
        self.left: Iterator[str] = iter(said)
        self.done = asyncio.Event()

    async def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        one = next(self.left, "")
        if not one:
            self.done.set()
            await asyncio.Event().wait()
        if one == "-":
            raise Down("away")
        return {}


@pytest.mark.parametrize(
    ("said", "times"), [("++", 0), ("--", 0), ("+--++", 1), ("-+", 1), ("-+-+", 2)]
)
def test_kafkas_return_is_told_once(said: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "_EVERY_S", 0)
    told: list[None] = []

    async def scenario() -> None:
        kafka = Answers(said)
        following = asyncio.create_task(
            returning.follow(cast(Backend, kafka), lambda: told.append(None))
        )
        async with asyncio.timeout(10):
            await kafka.done.wait()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(scenario())
    assert len(told) == times
