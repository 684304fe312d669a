"""
`trackmate-consume`: reads the events of one pipeline from Kafka, translates them and writes them to
its sink.
"""

import gc
import os
import sys
from pathlib import Path

from trackmate_consume.checking import check
from trackmate_consume.configuration import load
from trackmate_consume.member import Member
from trackmate_consume.settings import PROGRAM, ConsumeSettings
from trackmate_programs.command import Checked, Command

_ABOUT = """\
Read the events of one pipeline from Kafka, translate them, write them to the sink, and commit what
is settled. Any number of these share a pipeline. The files are followed as they change."""

_YOUNG = 20_000  # objects; Python's 700 are fewer than one batch of events makes


async def _start(settings: Path) -> int:
    gc.freeze()  # events make no cycles: what is looked through for them, is looked through in vain
    gc.set_threshold(_YOUNG)
    return await Member(settings, os.environ, load(settings, os.environ)).run()


async def _check(settings: Path) -> Checked:
    configuration = load(settings, os.environ)
    streams = ", ".join(configuration.streams)
    return Checked(
        await check(configuration),
        f"All is right: the settings, the way to Kafka and its topics ({streams}), and the sink of "
        f"{configuration.settings.pipeline!r}.",
    )


_COMMAND = Command(
    name="trackmate-consume",
    about=_ABOUT,
    checks="say what is wrong with the settings, the expressions, the way to Kafka, its topics "
    "and the sink; and exit with 0 where nothing is",
    model=ConsumeSettings,
    variables=PROGRAM,
    start=_start,
    check=_check,
)

main = _COMMAND.run

if __name__ == "__main__":
    sys.exit(main())
