"""
What a look at an affiliate found, condition by condition.
"""

from collections.abc import Mapping, Sequence

from trackmate_operator.status import Condition, bad, ready, status, unknown
from trackmate_operator.tenant import Document

ACCEPTED = "Accepted"
NAMESPACE = "NamespaceReady"
TOPICS = "TopicsReady"
CREDENTIALS = "CredentialsReady"

_STEPS = (ACCEPTED, NAMESPACE, TOPICS, CREDENTIALS)
"""In the order in which they are taken: a later one waits for those before."""
PAUSED = "Paused"
DRIFTED = "Drifted"
DELETING = "Deleting"

_QUIET = (
    bad(PAUSED, "Running", "Nothing is paused."),
    bad(DRIFTED, "AsPlanned", "Everything is as planned."),
    bad(DELETING, "Kept", "It is not being deleted."),
)


class Report:
    """Conditions; what is not said waits for what is said first and does not hold."""

    def __init__(self) -> None:
        self._said: dict[str, Condition] = {}
        self.changes: list[str] = []
        """What was done, a sentence each."""
        self.in_kafka: Document | None = None
        """What the status has of Kafka; None where nobody could be asked: then what it had."""
        self.lost = False
        """Whether topics were lost that are remembered until this is written."""
        self.rests = False
        """Whether something that somebody changed again is left as it is for now."""

    def add(self, condition: Condition) -> None:
        """The last of a type counts, unless one before did not hold."""
        before = self._said.get(condition.type)
        if before is None or before.holds or condition.type not in _STEPS:
            self._said[condition.type] = condition

    def steps(self) -> list[Condition]:
        """Each step's."""
        blocker = next((one for one in _STEPS if not self.holds(one)), "")
        return [
            self._said.get(step) or unknown(step, "Waits", f"Waits for {blocker}.")
            for step in _STEPS
        ]

    def ready(self, said: str) -> Condition:
        """The sum."""
        return ready(self.steps(), said)

    def status(
        self, document: Document, said: str, *, now: str, fields: Mapping[str, object]
    ) -> Document:
        """The whole status of the affiliate."""
        quiet = [self._said.get(one.type, one) for one in _QUIET]
        conditions: Sequence[Condition] = [self.ready(said), *self.steps(), *quiet]
        return status(
            document.get("status") or {},
            conditions,
            generation=document["metadata"]["generation"],
            now=now,
            **fields,
        )

    def waits_for_people(self) -> bool:
        """Whether only a change of the object can help: the spec, or the end of the pause."""
        said = self._said.get(ACCEPTED)
        return said is not None and said.reason in {"Invalid", "Paused"}

    def holds(self, step: str) -> bool:
        said = self._said.get(step)
        return said is not None and said.holds is True
