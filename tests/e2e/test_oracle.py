"""
The oracle itself: it is silent where all is well, and names each thing that may go wrong.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from mix import Request, Sent
from oracle import Found, compare
from running import Stored
from trackmate_contract.names import document_key
from traffic import Answer, Attempt, Ledger, Outcome

EVENTS = (Sent("events", "1", b'{"a": 1}'), Sent("events", "2", b'{"a": 2}'))
REQUEST = Request(name="both", target="/v1/events", body=b"", events=EVENTS)
FAULTY = replace(REQUEST, name="faulty", events=(Sent("events", "3", b"{}"),), valid=False)
ANSWER = Answer(200, {}, b"")


def ledger(outcome: Outcome = Outcome.OK, request: Request = REQUEST) -> Ledger:
    return Ledger([Attempt(request, outcome, ANSWER, port=1)])


def found(*events: Sent, times: int = 1, **changed: Any) -> Found:
    """What a healthy instance holds of these events, each sent so often."""
    log = [Stored(e.stream, 0, e.id, sha256(e.value).hexdigest(), e.value) for e in events] * times
    documents = {
        document_key(e.stream, e.id): b'{"tm":{},"event":' + e.value + b"}" for e in events
    }
    line = {"name": "store", "delivered": len(events), "duplicates": len(log) - len(events)}
    books = {"accepted": len(log), "pipelines": [line], "balanced": True}
    return replace(Found(log, documents, books), **changed)


@pytest.mark.parametrize(
    ("known", "held"),
    [
        (ledger(), found(*EVENTS)),
        (ledger(Outcome.CUT), found()),
        (ledger(Outcome.CUT), found(*EVENTS)),
        (ledger(Outcome.UNAVAILABLE), found(*EVENTS, times=2)),
        (ledger(Outcome.REFUSED, FAULTY), found()),
    ],
    ids=["stored", "cut and not stored", "cut and stored", "repeated", "refused"],
)
def test_the_oracle_is_silent_where_all_is_well(known: Ledger, held: Found) -> None:
    assert list(compare(known, held)) == []


@pytest.mark.parametrize(
    ("known", "held", "fault"),
    [
        (ledger(), found(), "not in the log"),
        (ledger(), found(*EVENTS, documents={}), "no document"),
        (ledger(), found(EVENTS[0], EVENTS[1]._replace(value=b'{"a":2}')), "other bytes"),
        (ledger(Outcome.CUT), found(EVENTS[0]), "stored in part"),
        (ledger(Outcome.REFUSED, FAULTY), found(*FAULTY.events), "refused or never sent"),
        (Ledger(), found(*EVENTS), "of no event that was sent"),
        (ledger(Outcome.OK, FAULTY), found(), "was answered"),
        (ledger(Outcome.REFUSED), found(), "was answered"),
        (ledger(), found(*EVENTS, books={**found(*EVENTS).books, "balanced": False}), "balance"),
        (ledger(), found(*EVENTS, books={**found(*EVENTS).books, "accepted": 3}), "3 accepted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_oracle_names_each_fault(known: Ledger, held: Found, fault: str) -> None:
    assert any(fault in sentence for sentence in compare(known, held))
