"""
What the watches have shown: every Affiliate as last seen, and whom an event of another object
concerns.
"""

from collections.abc import Iterable, Iterator

from trackmate_operator.declared import namespace_of
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.tenant import Document


class Seen:
    """Filled by the watches; never asked whether something is gone."""

    def __init__(self) -> None:
        self._affiliates: dict[str, Document] = {}

    def affiliates(self) -> Iterable[Document]:
        return list(self._affiliates.values())

    def note(self, affiliate: Document, *, gone: bool) -> None:
        name = affiliate["metadata"]["name"]
        if gone:
            self._affiliates.pop(name, None)
        else:
            self._affiliates[name] = affiliate

    def concerned(self, document: Document) -> Iterator[str]:
        """The affiliate whose object it is: by its label, or by the namespace that it is in."""
        metadata = document["metadata"]
        whose = (metadata.get("labels") or {}).get(AFFILIATE)
        if whose is not None:
            yield whose
            return
        namespace = metadata.get("namespace")
        for affiliate in self._affiliates.values():
            if namespace == namespace_of(affiliate):
                yield affiliate["metadata"]["name"]
