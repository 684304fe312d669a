"""
Faults on demand, each with a count of how often it bit: a fault that never bit proved nothing.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from couchbase_standin.frames import Op, Status

Kind = Literal[
    "answer",  # with a status, and nothing is done
    "ambiguous",  # done or not, and answered that nobody knows
    "slow",
    "silent",  # no answer
    "drop",  # the connection
    "garbage",  # bytes that are no answer
    "html",  # on REST, as is what follows
    "truncated",
    "wrong type",
    "error",
]


@dataclass
class Fault:
    """One kind of fault, and whom it hits."""

    kind: Kind
    ops: frozenset[Op]
    """Of the data service; none is the management's."""
    status: Status = Status.TEMPORARY
    """That `answer` gives."""
    applied: bool = False
    """Whether the request is done before the fault."""
    chance: float = 1.0
    times: int | None = None
    """How often it bites at most; None is as long as it is there."""
    seconds: float = 0.0
    """That `slow` takes."""
    path: str = ""
    """On REST: where a request's path begins."""
    bit: int = field(default=0, init=False)

    def bites(self, chance: float) -> bool:
        """Whether it hits a request, by a number between 0 and 1; and counts it."""
        if (self.times is not None and self.bit >= self.times) or chance >= self.chance:
            return False
        self.bit += 1
        return True


class Faults:
    """Those that are there now."""

    def __init__(self, seed: int = 1) -> None:
        self._there: list[Fault] = []
        self._random = random.Random(seed)

    def add(self, kind: Kind, *ops: Op, **more: object) -> Fault:
        fault = Fault(kind, frozenset(ops), **more)  # type: ignore[arg-type]
        self._there.append(fault)
        return fault

    def clear(self) -> None:
        self._there.clear()

    def of_op(self, op: int) -> Fault | None:
        return self._first(fault for fault in self._there if op in fault.ops)

    def of_path(self, path: str) -> Fault | None:
        return self._first(
            fault for fault in self._there if not fault.ops and path.startswith(fault.path)
        )

    def _first(self, faults: Iterable[Fault]) -> Fault | None:
        return next((fault for fault in faults if fault.bites(self._random.random())), None)
