"""
A process that moves the events of a stream on Kafka through a pipeline, until it is killed:
`python kafka_moving.py BOOTSTRAP AFFILIATE SINK-FILE`. What the events say becomes of them, and the
sink, are those of `dying.py`.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

from dying import Appending, Told
from trackmate_consume.flow import Pace
from trackmate_consume.kafka_letters import KafkaLetters
from trackmate_consume.kafka_source import KafkaSource, Reading
from trackmate_consume.pipeline import Parts, Pipeline, Replay


class NoReplays:
    async def next(self) -> Replay:
        await asyncio.Event().wait()
        raise AssertionError

    async def end(self, replay: Replay) -> None:
        """None was asked for."""


class NeverPaused:
    paused = ""

    async def pause(self, reason: str) -> None:
        raise AssertionError(reason)


async def main(bootstrap: str, affiliate: str, taken: Path) -> None:
    settings = {"bootstrap.servers": bootstrap, "session.timeout.ms": 6000}
    parts = Parts(
        source=partial(KafkaSource, Reading(affiliate, "crm", ["events"]), settings),
        program=Told(),
        sink=lambda _: Appending(taken),
        letters=KafkaLetters(affiliate, "crm", lambda: settings),
        replays=NoReplays(),
        control=NeverPaused(),
    )
    await Pipeline("crm", parts, Pace(events=7, wait_s=0, retry_s=0.2)).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
