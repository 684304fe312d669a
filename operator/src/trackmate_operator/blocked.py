"""
What ends a look at an affiliate before its end, in the words of its status.
"""

from trackmate_operator.status import Condition


class Blocked(Exception):  # noqa: N818 - what happened
    """A condition that does not hold, or that nobody can tell of; what follows waits for it."""

    def __init__(self, condition: Condition) -> None:
        super().__init__(condition.message)
        self.condition = condition
