"""
`trackmate-ingest`: takes the events of one affiliate over HTTP and puts them into Kafka.
"""

import os
import sys
from pathlib import Path

from trackmate_ingest.configuration import load
from trackmate_ingest.kafka_asking import ask
from trackmate_ingest.kafka_topics import Unanswered
from trackmate_ingest.program import run
from trackmate_ingest.settings import PROGRAM, IngestSettings
from trackmate_programs.command import Checked, Command

_ABOUT = """\
Take the events of one affiliate over HTTP and answer 200 once Kafka has them on all in-sync
replicas. Keys, the spec and the way to Kafka are taken over when their files change."""


async def _start(settings: Path) -> int:
    return await run(settings, os.environ, load(settings, os.environ))


async def _check(settings: Path) -> Checked:
    configuration = load(settings, os.environ)
    access, asked = configuration.access, configuration.asked
    try:
        faults = await ask(access.kafka, access.client, asked)
    except Unanswered as fault:
        faults = [str(fault)]
    keys, streams = len(configuration.keys), ", ".join(asked.streams)
    relaxed = ", as far as relaxed asks" if asked.relaxed else ""
    return Checked(
        faults,
        f"All is right: the settings, {keys} write key{'s' if keys != 1 else ''}, the way to "
        f"Kafka, and the topics of {asked.affiliate!r} ({streams}) keep what 200 promises"
        f"{relaxed}.",
    )


_COMMAND = Command(
    name="trackmate-ingest",
    about=_ABOUT,
    checks="say what is wrong with the settings, the keys, the way to Kafka and the topics; and "
    "exit with 0 where nothing is",
    model=IngestSettings,
    variables=PROGRAM,
    start=_start,
    check=_check,
)

main = _COMMAND.run

if __name__ == "__main__":
    sys.exit(main())
