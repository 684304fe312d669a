"""
What the sink `files` calls its files and folders.

A finished file says whose events it has and which: affiliate, pipeline, stream and partition, log,
first and last offset. Names of affiliates, pipelines, streams and replays hold no dot
(`trackmate_contract.names`), so no two of different writers or places are the same.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple


class Writer(NamedTuple):
    """Whose files they are."""

    affiliate: str
    pipeline: str
    log: str
    """Which log the offsets are of: in another they begin again at 0. No dots."""
    replay: str | None = None

    @property
    def folder(self) -> str:
        """
        Where it keeps what is not finished.

        >>> Writer("acme", "to-files", "1f3a5c7e", "fix-1").folder
        'acme.to-files.1f3a5c7e.fix-1'
        """
        return ".".join([*self[:3], *self._replays])

    def files(self, place: str, first: int, last: int, extension: str) -> Iterator[str]:
        """
        The names that a file may have; the first that is free is taken.

        >>> names = Writer("acme", "to-files", "1f3a5c7e").files("events-0", 0, 499, "ndjson")
        >>> next(names)
        'acme.to-files.events-0.1f3a5c7e.000000000000-000000000499.ndjson'
        >>> next(names)
        'acme.to-files.events-0.1f3a5c7e.000000000000-000000000499.2.ndjson'
        """
        offsets = f"{first:012d}-{last:012d}"
        parts = [self.affiliate, self.pipeline, place, self.log, offsets, *self._replays]
        yield ".".join([*parts, extension])
        for number in count(2):
            yield ".".join([*parts, str(number), extension])

    def same_but_log(self, folder: str) -> "Writer | None":
        """
        The writer of this folder, where it is this one on another log: what the pipeline wrote
        before its data was wiped.

        >>> acme = Writer("acme", "to-files", "1f3a5c7e")
        >>> acme.same_but_log("acme.to-files.00aa11bb") == acme._replace(log="00aa11bb")
        True
        >>> acme.same_but_log("acme.to-files.1f3a5c7e"), acme.same_but_log("acme.other.00aa11bb")
        (None, None)
        """
        parts = folder.split(".")
        if parts[:2] != [self.affiliate, self.pipeline] or parts[3:] != self._replays:
            return None
        return self._replace(log=parts[2]) if parts[2:3] not in ([], [self.log]) else None

    @property
    def _replays(self) -> list[str]:
        return [self.replay] if self.replay else []


def place_name(stream: str, partition: int) -> str:
    """
    >>> place_name("web-events", 3)
    'web-events-3'
    """
    return f"{stream}-{partition}"
