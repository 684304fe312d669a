"""
When so many events are put aside that not they are at fault, but the pipeline.
"""

_LOOKS_BACK = 1000  # events
_LEAST_DEAD = 200  # fewer say nothing yet


class Storm:
    """The share of dead letters among the events that settled last."""

    def __init__(self) -> None:
        self._settled = 0
        self._dead = 0

    def note(self, *, settled: int, dead: int) -> bool:
        """
        Return whether it is a storm: more than half of the last thousand or so.

        >>> Storm().note(settled=300, dead=300), Storm().note(settled=1000, dead=300)
        (True, False)
        """
        self._settled += settled
        self._dead += dead
        storms = self._dead >= _LEAST_DEAD and self._dead * 2 > self._settled
        while self._settled > _LOOKS_BACK:  # what is older counts half as much
            self._settled //= 2
            self._dead //= 2
        return storms

    def words(self) -> str:
        return f"{self._dead} of the last {self._settled} events became dead letters"
