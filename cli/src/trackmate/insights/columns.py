"""
The facts of many events, a column each, as they are counted: numbers of 64 bits, in the order in
which the events were stored. A text stands there as its hash, 0 where there is none; of a billion
texts, two have the same hash once in forty times.
"""

from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from trackmate.insights.facts import Fact

Column = NDArray[np.int64]
Columns = Mapping[str, Column]
"""As many as were asked for, by the name of the fact; all of one length."""

NAMES = ("at", "stream", "name", "page", "person", "view")
LABELS = ("stream", "name", "page")
"""The columns whose texts are shown again."""

BYTES = np.dtype("<i8")
"""How a column is kept."""


@lru_cache(maxsize=1 << 16)
def hashed(text: str) -> int:
    """
    A number for a text, never 0 but for "".

    >>> hashed(""), hashed("a") == hashed("a"), hashed("a") == hashed("b")
    (0, True, False)
    """
    if not text:
        return 0
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


class Growing:
    """Columns that facts are added to, and the texts of their labels."""

    def __init__(self) -> None:
        self._columns = {name: array("q") for name in NAMES}
        self.labels: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._columns["at"])

    def add(self, facts: Iterable[Fact]) -> None:
        at, stream, name, page, person, view = self._columns.values()
        for fact in facts:
            at.append(fact.at_ms)
            stream.append(self._label(fact.stream))
            name.append(self._label(fact.name))
            page.append(self._label(fact.page))
            person.append(hashed(fact.person))
            view.append(fact.view)

    def part(self, first: int, end: int | None = None) -> dict[str, Column]:
        """A copy of the rows from `first` up to `end`."""
        return {
            name: np.array(column[first:end], dtype=np.int64)
            for name, column in self._columns.items()
        }

    def drop(self, rows: int) -> None:
        """Forget the first rows, and the labels of no other."""
        for column in self._columns.values():
            del column[:rows]
        left = {number for name in LABELS for number in self._columns[name]}
        self.labels = {number: text for number, text in self.labels.items() if number in left}

    def _label(self, text: str) -> int:
        number = hashed(text)
        if number and number not in self.labels:
            self.labels[number] = text
        return number
