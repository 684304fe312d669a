"""
The command line that every program has: `--settings FILE`, `--check`, and `--help` with every
setting.

Exit codes: 0 ended well, or the check found all right · 1 it cannot run, or did not end well · 2
wrong usage.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.settings import Settings, described
from trackmate_programs.logs import set_up

_SETTINGS = """\
Settings, as they stand in FILE. An environment variable, named below each, overrides the file; its
value is written as in the file. A duration is a whole number and s, m, h or d."""


class CannotStart(Exception):  # noqa: N818 - what happened
    """A sentence for the person who started it."""


@dataclass(frozen=True)
class Checked:
    """What `--check` found."""

    faults: Sequence[str]
    right: str = ""
    """What to say where there is no fault."""


@dataclass(frozen=True)
class Command:
    """One program."""

    name: str
    """`trackmate-ingest`; its logger is `trackmate.ingest`."""
    about: str
    checks: str
    """What `--check` says, for `--help`."""
    model: type[Settings]
    variables: str
    """What the names of its environment variables begin with."""
    start: Callable[[Path], Coroutine[Any, Any, int]]
    """Run by the settings of a file; gives the exit code. Raises Faulty and CannotStart."""
    check: Callable[[Path], Coroutine[Any, Any, Checked]]
    """Raises Faulty."""

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Do as the arguments say; gives the exit code."""
        given = self._parser().parse_args(arguments)
        if given.check:
            return self._report(given.settings)
        set_up()
        try:
            return uvloop.run(self.start(given.settings))
        except Faulty as faulty:
            faults = self._named(faulty, given.settings)
        except CannotStart as fault:
            faults = [str(fault)]
        log = logging.getLogger(self.name.replace("-", "."))
        for sentence in faults:
            log.error("cannot start", extra={"fields": {"fault": sentence}})
        return 1

    def _report(self, settings: Path) -> int:
        try:
            found = asyncio.run(self.check(settings))
        except Faulty as faulty:
            found = Checked(self._named(faulty, settings))
        for fault in found.faults:
            sys.stderr.write(f"{self.name}: {fault}\n")
        if found.faults:
            return 1
        sys.stdout.write(f"{found.right}\n")
        return 0

    def _named(self, faulty: Faulty, file: Path) -> list[str]:
        """Each fault where a person finds it: in the file, or in the environment."""

        def named(fault: Fault) -> str:
            return str(fault) if fault.path.startswith(self.variables) else f"{file}: {fault}"

        return [named(fault) for fault in faulty.faults]

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=self.name,
            description=self.about,
            epilog=f"{_SETTINGS}\n\n{described(self.model, self.variables)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument(
            "--settings", metavar="FILE", type=Path, required=True, help="the settings, in YAML"
        )
        parser.add_argument("--check", action="store_true", help=self.checks)
        return parser
