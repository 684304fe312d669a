"""
To whom the topics belong: what the registry keeps of an affiliate, and what follows from it. Kafka
lets nobody mark a topic, so the marks lie beside the data, in the compacted topic
`trackmate.registry`: name of the affiliate → its id, and the ids of its topics.

A topic is claimed before it is made. One that is there and that nobody claimed is somebody else's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trackmate_contract.keybook import Book

REGISTRY = "trackmate.registry"
"""Its topic. No affiliate is called `trackmate`."""


@dataclass(frozen=True)
class Registration:
    """What belongs to one affiliate."""

    name: str
    id: str
    """The only one that may have what is here."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """Its topics: Kafka's id of each, by its name; "" of one that is being made, or was lost."""
    book: Book = ()
    """The generations of its write keys, for when their Secret is gone."""
    retained: bool = False
    """Whether its Affiliate was deleted, and all of this stayed."""
    lost: tuple[str, ...] = ()
    """Topics that somebody removed, until the status has said so."""


def claimed(found: Registration, wanted: Iterable[str], there: Mapping[str, str]) -> Registration:
    """
    The same with a claim to each wanted topic that nobody has; `there` has the ids of Kafka.

    >>> found = Registration("acme", "af-1", {"acme.events": "T1"})
    >>> claimed(found, ["acme.images", "acme.foreign"], {"acme.foreign": "T9"}).topics
    {'acme.events': 'T1', 'acme.images': ''}
    """
    new = {name: "" for name in wanted if name not in found.topics and name not in there}
    return replace(found, topics={**found.topics, **new}, retained=False)


def identified(found: Registration, there: Mapping[str, str]) -> Registration:
    """
    The same with the ids that the claimed topics have now.

    >>> identified(Registration("acme", "af-1", {"acme.events": ""}), {"acme.events": "T1"}).topics
    {'acme.events': 'T1'}
    """
    return replace(
        found, topics={name: there.get(name, known) for name, known in found.topics.items()}
    )


def foreign(found: Registration, wanted: Iterable[str], there: Mapping[str, str]) -> list[str]:
    """The wanted topics that are somebody else's."""
    return [name for name in wanted if name in there and name not in found.topics]


def bereaved(found: Registration, there: Mapping[str, str]) -> Registration:
    """
    The same, and it remembers what it lost: topics that are gone, or were made anew. Their names
    stay its own.

    >>> found = Registration("acme", "af-1", {"acme.events": "T1", "acme.images": "T2"})
    >>> after = bereaved(found, {"acme.events": "T1"})
    >>> after.topics, after.lost
    ({'acme.events': 'T1', 'acme.images': ''}, ('acme.images',))
    """
    lost = [name for name, known in found.topics.items() if known and there.get(name) != known]
    return replace(
        found,
        topics={**found.topics, **dict.fromkeys(lost, "")},
        lost=tuple(dict.fromkeys([*found.lost, *lost])),
    )
