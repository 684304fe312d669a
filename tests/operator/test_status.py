"""
The status: the first that does not hold says why, what waits says for what, and a condition keeps
the time of its last change.
"""

from typing import Any

from trackmate_operator.report import ACCEPTED, CREDENTIALS, NAMESPACE, TOPICS, Report
from trackmate_operator.status import READY, bad, good, status, unknown

GOOD = "All is well."


def by_type(written: Any) -> dict[str, Any]:
    return {one["type"]: one for one in written["conditions"]}


def all_good() -> Report:
    report = Report()
    for step in (ACCEPTED, NAMESPACE, TOPICS, CREDENTIALS):
        report.add(good(step, "There."))
    return report


def test_all_steps_make_it_ready() -> None:
    assert all_good().ready(GOOD) == good(READY, GOOD)


def test_what_comes_after_a_blocked_step_waits_for_it() -> None:
    report = Report()
    report.add(good(ACCEPTED, "Taken."))
    report.add(bad(NAMESPACE, "Terminating", "It is being deleted."))

    said = {one.type: one for one in report.steps()}

    assert said[TOPICS] == unknown(TOPICS, "Waits", "Waits for NamespaceReady.")
    assert report.ready(GOOD) == bad(READY, "Terminating", "It is being deleted.")


def test_the_first_fault_of_a_step_is_not_hidden_by_what_follows() -> None:
    report = all_good()
    report.add(bad(CREDENTIALS, "SecretMissing", "first"))
    report.add(bad(CREDENTIALS, "Conflict", "second"))
    report.add(good(CREDENTIALS, "There."))
    assert report.ready(GOOD).message == "first"


def test_a_fault_counts_before_what_nobody_knows() -> None:
    report = all_good()
    report.add(unknown(TOPICS, "KafkaDown", "away"))
    report.add(bad(CREDENTIALS, "SecretMissing", "missing"))
    assert report.ready(GOOD).reason == "SecretMissing"


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = status({}, [bad(READY, "A", "a")], generation=1, now="1")
    same = status(first, [bad(READY, "B", "b")], generation=2, now="2")
    turned = status(same, [good(READY, "c")], generation=3, now="3")

    assert by_type(first)[READY]["lastTransitionTime"] == "1"
    assert by_type(same)[READY]["lastTransitionTime"] == "1"
    assert by_type(same)[READY]["reason"] == "B"
    assert by_type(turned)[READY]["lastTransitionTime"] == "3"
    assert turned["observedGeneration"] == 3


def test_every_condition_is_there_on_the_first_visit() -> None:
    document = {"metadata": {"generation": 1}}
    written = Report().status(document, GOOD, now="1", fields={"id": "x"})
    assert [one["type"] for one in written["conditions"]] == [
        "Ready",
        "Accepted",
        "NamespaceReady",
        "TopicsReady",
        "CredentialsReady",
        "Paused",
        "Drifted",
        "Deleting",
    ]
    assert written["id"] == "x"
