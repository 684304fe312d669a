"""
Where documents end. A sink is one module of `sinks/` with one class that keeps this contract;
`docs/writing-a-sink.md` walks through one.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trackmate_consume.ledger import Outcome
from trackmate_contract.record import Record


class Down(Exception):  # noqa: N818 - a state of the sink
    """
    The sink does not take documents now; whether it took these is not known.

    `after_s`: how long it asked to be left alone, in seconds.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Refused(Exception):  # noqa: N818 - what the sink did
    """
    The sink works and does not want these documents; asked again it would say the same.

    The message goes into the dead letter: what the sink answered, and never a secret.
    """


class Disabled(Exception):  # noqa: N818 - a state of the sink
    """The sink wants no more documents at all (HTTP 410): the pipeline pauses until resumed."""


class Unfit(Exception):  # noqa: N818 - a state of the sink
    """
    The sink can never work as it is declared: a table with other columns, a forbidden folder.

    `path` is the field of the manifest, as in `spec.sink.files.path`; the message says the value
    and the cure.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Document(NamedTuple):
    """What a sink is handed of an event, in the pipeline's format."""

    value: bytes
    head: bytes = b""
    """The line that goes before documents like this one: the columns of `csv`, else nothing."""


class Translated(NamedTuple):
    """An event with the documents that were made of it; there is at least one."""

    record: Record
    documents: tuple[Document, ...]


class Sink(Protocol):
    """A place that takes documents in batches."""

    lanes: int
    """How many writes may be under way at once. Events of one key are never in two of them."""

    async def open(self) -> None:
        """
        Make ready, and check what can be checked. Called once before the first write, and again
        after it raised Down or Unfit.
        """

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """
        Write all documents of all events; return what became of each event, in order, once every
        one is safe: DELIVERED, or DUPLICATE or CONFLICT where the sink can tell.

        Safe to repeat, in other batches too: an event that came from the same record is delivered,
        not a duplicate. Raises Down, Refused or Disabled; then any part may have been written.
        A batch that is refused comes again in halves, until the refused event is alone.
        """

    async def close(self) -> None:
        """Let go of what is held; what `write` returned for is safe already."""
