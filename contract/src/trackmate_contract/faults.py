"""
What is wrong with a manifest: every fault at once, where it is, and what to write instead.

Two things find faults: the schema (`sentences.py` puts pydantic's findings into words) and the
rules that relate fields, which look at the raw document through a `Place`, so that a wrong type in
one corner does not hide a contradiction in another.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Fault(NamedTuple):
    path: str
    """Where, as in `spec.streams[0].partitions`."""
    message: str
    """A sentence with the value and the cure."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Faulty(ValueError):  # noqa: N818 - it is what the manifest is
    """A manifest that cannot be taken as it is."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


class Place(NamedTuple):
    """
    A value in a raw document and where it stands; where there is nothing, the value is None.

    >>> Place("spec", {"streams": [{"name": "events"}]}).at("streams").each()[0].at("name")
    Place(path='spec.streams[0].name', value='events')
    >>> Place("spec", "nonsense").at("streams").each()
    []
    """

    path: str
    value: object

    def at(self, field: str) -> "Place":
        found = self.value.get(field) if isinstance(self.value, Mapping) else None
        return Place(f"{self.path}.{field}".lstrip("."), found)

    def each(self) -> list["Place"]:
        items = self.value if isinstance(self.value, list | tuple) else ()
        return [Place(f"{self.path}[{index}]", item) for index, item in enumerate(items)]

    def fault(self, message: str) -> Fault:
        return Fault(self.path, message)
