"""
`trackmate-consume`: reads the events of one pipeline from Kafka, translates them and writes them to
its sink.

Exit codes: 0 ended well, or the check found all right · 1 it cannot run · 2 wrong usage.
"""

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from trackmate_programs.logs import set_up

from trackmate_consume.checking import check
from trackmate_consume.configuration import load
from trackmate_consume.member import CannotStart, Member
from trackmate_consume.settings import PROGRAM, ConsumeSettings
from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.settings import described

_ABOUT = """\
Read the events of one pipeline from Kafka, translate them, write them to the sink, and commit what
is settled. Any number of these share a pipeline. The files are followed as they change."""

_SETTINGS = """\
Settings, as they stand in FILE. An environment variable, named below each, overrides the file; its
value is written as in the file. A duration is a whole number and s, m, h or d."""

_YOUNG = 20_000  # objects; Python's 700 are fewer than one batch of events makes

_log = logging.getLogger("trackmate.consume")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.check:
        return asyncio.run(_check(given.settings))
    set_up()
    gc.freeze()  # events make no cycles: what is looked through for them, is looked through in vain
    gc.set_threshold(_YOUNG)
    try:
        return uvloop.run(_run(given.settings))
    except Faulty as faulty:
        faults = [_named(fault, given.settings) for fault in faulty.faults]
    except CannotStart as fault:
        faults = [str(fault)]
    for sentence in faults:
        _log.error("cannot start", extra={"fields": {"fault": sentence}})
    return 1


async def _run(settings: Path) -> int:
    return await Member(settings, os.environ, load(settings, os.environ)).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trackmate-consume",
        description=_ABOUT,
        epilog=f"{_SETTINGS}\n\n{described(ConsumeSettings, PROGRAM)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings", metavar="FILE", type=Path, required=True, help="the settings, in YAML"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what is wrong with the settings, the expressions, the way to Kafka, its topics "
        "and the sink; and exit with 0 where nothing is",
    )
    return parser


async def _check(settings: Path) -> int:
    try:
        configuration = load(settings, os.environ)
    except Faulty as faulty:
        return _refuse([_named(fault, settings) for fault in faulty.faults])
    faults = await check(configuration)
    if faults:
        return _refuse(faults)
    streams = ", ".join(configuration.streams)
    sys.stdout.write(
        f"All is right: the settings, the way to Kafka and its topics ({streams}), and the sink of "
        f"{configuration.settings.pipeline!r}.\n"
    )
    return 0


def _named(fault: Fault, file: Path) -> str:
    """A fault where a person finds it: in the file, or in the environment."""
    return str(fault) if fault.path.startswith(PROGRAM) else f"{file}: {fault}"


def _refuse(faults: Sequence[str]) -> int:
    for fault in faults:
        sys.stderr.write(f"trackmate-consume: {fault}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
