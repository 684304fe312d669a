"""
What is kept beside a position fits: no books can grow so large that Kafka refuses the commit.
"""

import re
from pathlib import Path

import pytest

from trackmate_consume.kafka_positions import (
    LONGEST,
    Position,
    Stretch,
    from_metadata,
    pause_of,
    to_metadata,
)
from trackmate_consume.kafka_replays import _MOST_IDS
from trackmate_consume.ledger import Counts
from trackmate_contract.pipeline import Replay

LARGEST = 2**63 - 1
"""An offset, and so a count of events."""

PAGE = Path(__file__).parents[2] / "docs" / "dead-letters.md"


def reasons() -> dict[tuple[str, str], int]:
    """All that there are, each as often as can be."""
    dead = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert "sink_refused" in dead
    known = [*(("dead", one) for one in dead), ("filtered", "false"), ("filtered", "missing")]
    return dict.fromkeys(known, LARGEST)


def ids() -> tuple[str, ...]:
    longest = [f"{number:a>40}" for number in range(_MOST_IDS)]
    return tuple(Replay.model_validate({"id": one}).id for one in longest)


@pytest.mark.parametrize("character", ["\x01", "\u2028", '"', "é", "😀"])
def test_the_largest_books_with_the_longest_words_fit(character: str) -> None:
    """More than can be: a replay keeps no pause, and events as they come have no stretch."""
    full = Position(
        LARGEST,
        LARGEST,
        Counts(*[LARGEST] * 7),
        reasons(),
        Stretch(ids()[0], LARGEST, LARGEST, ids()),
        pause_of(character * 5000, "resumed"),
    )

    kept = to_metadata(full)

    assert len(kept.encode()) <= LONGEST
    assert from_metadata(LARGEST, kept) == full
