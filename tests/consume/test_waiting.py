"""
Who is next: of many events that are refused and tried again, none stops what is ready, and to make
all of them due costs no more than there are.
"""

import pytest

from trackmate_consume.waiting import Entry, Waiting
from trackmate_contract.record import Record, Stamp


class Counted(Entry):
    """Counts how often any two are compared."""

    compared = 0

    def __lt__(self, other: Entry) -> bool:
        Counted.compared += 1
        return super().__lt__(other)


def entry(offset: int, key: str | None = None) -> Counted:
    return Counted(Record("events", 0, offset, f"e-{offset}", key, b"{}", Stamp(0, "web")), key)


def offsets(batch: list[Entry]) -> list[int]:
    return [one.offset for one in batch]


def test_what_is_due_again_and_what_is_ready_take_turns() -> None:
    waiting = Waiting(lanes=1)
    for number in range(3):
        waiting.set_aside(entry(number), due_at=0.0)
    waiting.add([entry(number) for number in range(3, 8)])

    taken = [offsets(waiting.take(most=2, most_bytes=100, now=1.0)) for _ in range(7)]

    assert sorted(taken[0] + taken[2] + taken[4]) == [0, 1, 2]
    assert [taken[1], taken[3], taken[5]] == [[3, 4], [5, 6], [7]]
    assert taken[6] == []


@pytest.mark.parametrize("lanes", [1, 2])
def test_what_only_waits_behind_a_key_does_not_hold_up_what_is_due(lanes: int) -> None:
    waiting = Waiting(lanes=lanes)
    waiting.set_aside(entry(0, "a"), due_at=0.0)
    waiting.set_aside(entry(1, "b"), due_at=0.0)
    waiting.add([entry(2, "a"), entry(3, "b")])

    first, second = (offsets(waiting.take(most=9, most_bytes=999, now=1.0)) for _ in range(2))

    assert sorted(first + second) == [0, 1]


def test_making_all_due_is_no_work_of_each_for_each() -> None:
    waiting = Waiting(lanes=1)
    many = [entry(number) for number in range(2000)]
    for number, one in enumerate(many):
        waiting.set_aside(one, due_at=float(number))
    Counted.compared = 0

    waiting.hasten(*many)

    assert Counted.compared <= 4 * len(many)
    assert waiting.next_due_at() == 0.0
