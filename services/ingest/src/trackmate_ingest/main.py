"""
`trackmate-ingest`: takes the events of one affiliate over HTTP and puts them into Kafka.

Exit codes: 0 ended well, or the check found all right · 1 it cannot run, or did not end well · 2
wrong usage.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from trackmate_programs.logs import set_up

from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.settings import described
from trackmate_ingest.configuration import load
from trackmate_ingest.kafka_asking import ask
from trackmate_ingest.kafka_topics import Unanswered
from trackmate_ingest.program import CannotStart, run
from trackmate_ingest.settings import PROGRAM, IngestSettings

_ABOUT = """\
Take the events of one affiliate over HTTP and answer 200 once Kafka has them on all in-sync
replicas. Keys, the spec and the way to Kafka are taken over when their files change."""

_SETTINGS = """\
Settings, as they stand in FILE. An environment variable, named below each, overrides the file; its
value is written as in the file. A duration is a whole number and s, m, h or d."""

_log = logging.getLogger("trackmate.ingest")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.check:
        return asyncio.run(_check(given.settings))
    set_up()
    try:
        configuration = load(given.settings, os.environ)
        return uvloop.run(run(given.settings, os.environ, configuration))
    except Faulty as faulty:
        faults = [_named(fault, given.settings) for fault in faulty.faults]
    except CannotStart as fault:
        faults = [str(fault)]
    for sentence in faults:
        _log.error("cannot start", extra={"fields": {"fault": sentence}})
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trackmate-ingest",
        description=_ABOUT,
        epilog=f"{_SETTINGS}\n\n{described(IngestSettings, PROGRAM)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings", metavar="FILE", type=Path, required=True, help="the settings, in YAML"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what is wrong with the settings, the keys, the way to Kafka and the topics; and "
        "exit with 0 where nothing is",
    )
    return parser


async def _check(settings: Path) -> int:
    try:
        configuration = load(settings, os.environ)
    except Faulty as faulty:
        return _refuse([_named(fault, settings) for fault in faulty.faults])
    access, asked = configuration.access, configuration.asked
    try:
        faults = await ask(access.kafka, access.client, asked)
    except Unanswered as fault:
        faults = [str(fault)]
    if faults:
        return _refuse(faults)
    keys, streams = len(configuration.keys), ", ".join(asked.streams)
    relaxed = ", as far as relaxed asks" if asked.relaxed else ""
    sys.stdout.write(
        f"All is right: the settings, {keys} write key{'s' if keys != 1 else ''}, the way to "
        f"Kafka, and the topics of {asked.affiliate!r} ({streams}) keep what 200 promises"
        f"{relaxed}.\n"
    )
    return 0


def _named(fault: Fault, file: Path) -> str:
    """A fault where a person finds it: in the file, or in the environment."""
    return str(fault) if fault.path.startswith(PROGRAM) else f"{file}: {fault}"


def _refuse(faults: Sequence[str]) -> int:
    for fault in faults:
        sys.stderr.write(f"trackmate-ingest: {fault}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
