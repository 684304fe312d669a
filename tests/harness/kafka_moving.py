"""
A process that moves the events of a stream on Kafka through a pipeline, until it is killed, or dies
at a step of the loop as `dying.py` does:
`python kafka_moving.py BOOTSTRAP AFFILIATE SINK-FILE [STEP WHEN N]`. What the events say becomes of
them, and the sink, are those of `dying.py`.

It is always the same member to its group, so that the next process need not wait for this one's
session to end.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dying import Appending, Told, dying
from trackmate_consume.flow import Pace
from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_letters import KafkaLetters
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_replays import AnsweringSource
from trackmate_consume.kafka_standing import KafkaStanding
from trackmate_consume.pipeline import Asked, Parts, Pipeline

STEPS: Mapping[str, tuple[type, str]] = {
    "read": (AnsweringSource, "read"),
    "translate": (Told, "translate"),
    "put": (KafkaLetters, "put"),
    "write": (Appending, "write"),
    "commit": (AnsweringSource, "commit"),
}


class NobodyAsks:
    async def next(self) -> Asked:
        await asyncio.Event().wait()
        raise AssertionError

    async def end(self, asked: Asked) -> None:
        """None was asked for."""


class NeverPaused:
    paused = ""

    async def pause(self, reason: str) -> None:
        raise AssertionError(reason)


async def main(bootstrap: str, affiliate: str, taken: Path) -> None:
    settings = {
        "bootstrap.servers": bootstrap,
        "session.timeout.ms": 6000,
        "group.instance.id": "only",
    }

    def current() -> Mapping[str, Any]:
        return settings

    groups = Groups(affiliate, current)
    reading = Reading(affiliate, "crm", ["events"])
    standing = KafkaStanding(reading, current, groups, NobodyAsks())
    parts = Parts(
        source=standing.source,
        program=Told(),
        sink=lambda _: Appending(taken),
        letters=standing.letters,
        replays=standing.replays,
        control=NeverPaused(),
    )
    await Pipeline("crm", parts, Pace(events=7, wait_s=0, retry_s=0.2)).run()


def die_at(step: str, when: str, number: int) -> None:
    owner, name = STEPS[step]
    method: Callable[..., Any] = getattr(owner, name)
    setattr(owner, name, dying(method, when, [number]))


if __name__ == "__main__":
    if len(sys.argv) > 4:
        die_at(sys.argv[4], sys.argv[5], int(sys.argv[6]))
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
