"""
What an event says: nothing new where the operator wrote it itself, or a controller its status; and
whom it concerns.
"""

import copy
from typing import Any

from trackmate_operator.seen import Seen

TEMPLATE = "{affiliate}.track.example.com"


def thing(kind: str, api: str = "v1", *, version: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {
            "name": "trackmate-ingest",
            "namespace": "trackmate-acme",
            "labels": {"trackmate.io/affiliate": "acme"},
            "resourceVersion": version,
            "managedFields": [{"manager": "trackmate-operator"}],
        },
        **more,
    }


def affiliate(name: str, *hosts: str, namespace: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"ingest": {"hosts": [*hosts]}} if hosts else {}
    if namespace:
        spec["namespace"] = namespace
    metadata = {"name": name, "uid": "1", "creationTimestamp": "2026-11-28T00:00:00Z"}
    return {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Affiliate",
        "metadata": metadata,
        "spec": spec,
    }


def names(found: Any) -> set[str]:
    return {one["metadata"]["name"] for one in found}


def test_what_was_written_here_is_no_news_and_what_another_writes_over_it_is() -> None:
    seen = Seen(TEMPLATE)
    ours = thing("ConfigMap", data={"a": "1"})
    seen.wrote(ours)
    assert not seen.is_news(copy.deepcopy(ours), gone=False)
    theirs = thing("ConfigMap", version="2", data={"a": "2"})
    assert seen.is_news(theirs, gone=False)
    assert not seen.is_news({**theirs}, gone=False)  # a watch that begins anew
    seen.wrote(thing("ConfigMap", version="3", data={"a": "1"}))
    assert not seen.is_news(thing("ConfigMap", version="3", data={"a": "1"}), gone=False)


def test_what_is_first_seen_and_what_is_gone_is_news() -> None:
    seen = Seen(TEMPLATE)
    one = thing("ConfigMap", data={"a": "1"})
    assert seen.is_news(one, gone=False)
    assert seen.is_news(one, gone=True)
    assert seen.is_news(one, gone=False)
    seen.wrote(one)
    assert seen.is_news(one, gone=True)


def test_a_status_is_news_of_strimzis_objects_alone() -> None:
    seen = Seen(TEMPLATE)
    quota = thing("ResourceQuota", status={"used": {"pods": "1"}})
    seen.wrote(quota)
    assert not seen.is_news({**quota, "status": {"used": {"pods": "2"}}}, gone=False)
    topic = thing("KafkaTopic", "kafka.strimzi.io/v1", status={"conditions": []})
    seen.wrote(topic)
    assert seen.is_news({**topic, "status": {"topicId": "T1"}}, gone=False)


def test_a_label_that_was_taken_off_is_news() -> None:
    seen = Seen(TEMPLATE)
    one = thing("ConfigMap", data={})
    seen.wrote(one)
    bare = copy.deepcopy(one)
    del bare["metadata"]["labels"]
    assert seen.is_news(bare, gone=False)


def test_rivals_are_those_that_share_a_host_now() -> None:
    seen = Seen(TEMPLATE)
    acme, globex = affiliate("acme"), affiliate("globex", "acme.track.example.com")
    seen.note(acme, gone=False)
    seen.note(globex, gone=False)
    seen.note(affiliate("initech", "initech.example.com"), gone=False)
    assert names(seen.rivals(acme)) == {"acme", "globex"}
    seen.note(affiliate("globex", "globex.example.com"), gone=False)
    assert names(seen.rivals(acme)) == {"acme"}
    seen.note(acme, gone=True)
    assert names(seen.rivals(globex)) == set()


def test_what_has_no_label_concerns_whose_namespace_it_is_in() -> None:
    seen = Seen(TEMPLATE)
    seen.note(affiliate("acme"), gone=False)
    seen.note(affiliate("globex", namespace="shared"), gone=False)
    pipeline = {"metadata": {"name": "out", "namespace": "shared"}}
    assert [*seen.concerned(pipeline)] == ["globex"]
    seen.note(affiliate("globex", namespace="shared"), gone=True)
    assert [*seen.concerned(pipeline)] == []
    labelled = thing("ConfigMap")
    assert [*seen.concerned(labelled)] == ["acme"]


def test_pipelines_are_told_with_whose_they_are_as_long_as_they_are_there() -> None:
    seen = Seen(TEMPLATE)
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    api = "trackmate.io/v1alpha1"
    ours = thing("Pipeline", api, status=status)
    seen.note_pipeline(ours, gone=False)
    assert [*seen.pipelines()] == [], "nobody has its namespace"
    seen.note(affiliate("acme"), gone=False)
    assert [*seen.pipelines()] == [("acme", "trackmate-ingest", status)]
    seen.note_pipeline(thing("Pipeline", api), gone=False)
    assert [*seen.pipelines()] == [("acme", "trackmate-ingest", {})]
    seen.note_pipeline(ours, gone=True)
    assert [*seen.pipelines()] == []
