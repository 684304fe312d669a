"""
The oracle of the fault tests: what the clients know against what the product shows, its log, its
documents and its books. Whatever was broken meanwhile, all of this holds afterwards.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mix import Sent
from running import Dev, Stored
from trackmate_contract.names import document_key
from traffic import UNKNOWN, Ledger, Outcome

_MOST_SHOWN = 20

Place = tuple[str, str]
"""A stream and an id."""


@dataclass(frozen=True)
class Found:
    """What an instance holds once nothing is in flight."""

    log: list[Stored]
    documents: dict[str, bytes]
    books: Any

    @property
    def repeats(self) -> int:
        """Events that are in the log again, because a client repeated them."""
        return len(self.log) - len({(event.stream, event.id) for event in self.log})


def check(dev: Dev, ledger: Ledger) -> Found:
    """Wait until all is settled, and hold it against the clients' account."""
    dev.settle()
    found = Found(dev.tail(), dev.documents(), dev.audit())
    faults = list(compare(ledger, found))
    assert not faults, "\n".join([f"{len(faults)} faults:", *faults[:_MOST_SHOWN]])
    return found


def compare(ledger: Ledger, found: Found) -> Iterator[str]:
    """Everything that is wrong, a sentence each."""
    yield from compare_log(ledger, found.log)
    yield from _lost(ledger, found)
    yield from _altered(ledger, found)
    yield from _invented(ledger, found)
    yield from _halved(ledger, found)
    yield from _unbalanced(found)


def compare_log(ledger: Ledger, log: list[Stored]) -> Iterator[str]:
    """What is wrong with the log alone, whatever log it is."""
    yield from _misjudged(ledger)
    sent, logged = _events(ledger, Outcome.OK, *UNKNOWN), {(one.stream, one.id) for one in log}
    for place in _events(ledger, Outcome.OK):
        if place not in logged:
            yield f"{place} was acknowledged and is not in the log"
    for event in log:
        known = sent.get((event.stream, event.id))
        if known is None:
            yield f"{event.id} is in the log, and was refused or never sent"
        elif known.value != event.value:
            yield f"{event.id} has other bytes in the log: {event.value!r}, not {known.value!r}"


def _events(ledger: Ledger, *outcomes: Outcome) -> dict[Place, Sent]:
    requests = [request for request in ledger.requests(*outcomes) if request.valid]
    return {(event.stream, event.id): event for request in requests for event in request.events}


def _misjudged(ledger: Ledger) -> Iterator[str]:
    """Faults change when a request is answered, never what is valid."""
    for attempt in ledger.attempts:
        wrong = Outcome.REFUSED if attempt.request.valid else Outcome.OK
        if attempt.outcome in {wrong, Outcome.FAILED}:
            yield f"{attempt.request.name} was answered {attempt.answer}"


def _lost(ledger: Ledger, found: Found) -> Iterator[str]:
    """I1: what was acknowledged is in the store too, once."""
    for place in _events(ledger, Outcome.OK):
        if document_key(*place) not in found.documents:
            yield f"{place} was acknowledged and has no document"


def _altered(ledger: Ledger, found: Found) -> Iterator[str]:
    """I2: the bytes are those that were sent in the document too."""
    for place, known in _events(ledger, Outcome.OK, *UNKNOWN).items():
        document = found.documents.get(document_key(*place))
        if document is not None and not document.endswith(b',"event":' + _shown(known) + b"}"):
            yield f"{place} has other bytes in its document: {document!r}"


def _shown(event: Sent) -> bytes:
    return b'"%b"' % b64encode(event.value) if event.raw else event.value


def _invented(ledger: Ledger, found: Found) -> Iterator[str]:
    """I3: no document is of what was refused or never sent, and none is there twice."""
    keys = {document_key(*place) for place in _events(ledger, Outcome.OK, *UNKNOWN)}
    for key in found.documents:
        if key not in keys:
            yield f"{key} is a document of no event that was sent"


def _halved(ledger: Ledger, found: Found) -> Iterator[str]:
    """P2: of a request, all events are stored, each as often as the others, or none."""
    times = Counter((event.stream, event.id) for event in found.log)
    for request in ledger.requests(*Outcome):
        stored = {times[event.stream, event.id] for event in request.events}
        if len(stored) > 1:
            yield f"{request.name} is stored in part: its events {sorted(stored)} times"


def _unbalanced(found: Found) -> Iterator[str]:
    """I7: the books balance, and say what the log says."""
    line = next(line for line in found.books["pipelines"] if line["name"] == "store")
    if not found.books["balanced"]:
        yield f"the books do not balance: {found.books}"
    if found.books["accepted"] != len(found.log):
        yield f"the books say {found.books['accepted']} accepted, the log has {len(found.log)}"
    if line["duplicates"] != found.repeats:
        yield f"the books say {line['duplicates']} duplicates, the log has {found.repeats}"
    if line["delivered"] != len(found.documents):
        yield f"the books say {line['delivered']} delivered of {len(found.documents)} documents"
