"""
The expressions of pipelines in a folder: every fault is told, whatever else is wrong with the file.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from trackmate.folder import Folder, Owner, read_file
from trackmate.spelling import look

PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: to-out, namespace: trackmate-acme}
spec:
  stream: events
  sink: {stdout: {}}
  filter: event.type ==
  transform: {jq: foo}
"""
FILTER = "spec.filter: line 1, column 14: Syntax error: mismatched input"
JQ = "spec.transform.jq: line 1, column 1: foo/0 is not defined"


def looked(folder: Path, text: str) -> Folder:
    (folder / "to-out.yaml").write_text(text)
    found = read_file(folder / "to-out.yaml", {"trackmate-acme": Owner("acme", ("events",))})
    asyncio.run(look(found))
    return found


def test_a_filter_and_a_transform_that_cannot_run_are_both_told(tmp_path: Path) -> None:
    folder = looked(tmp_path, PIPELINE)

    filtered, transformed = map(str, folder.misfits)
    assert filtered.startswith(f"to-out.yaml:7: {FILTER}")
    assert transformed == f"to-out.yaml:8: {JQ}"
    assert folder.pipelines == {}


@pytest.mark.parametrize(
    ("written", "instead", "path"),
    [
        ("stream: events", "streem: events\n  stream: events", "spec.streem"),
        ("{stdout: {}}", "{}", "spec.sink"),
        ("stream: events", "stream: nowhere", "spec.stream"),
        ("trackmate-acme", "trackmate-nobody", "metadata.namespace"),
        ("name: to-out, ", "", "metadata.name"),
        ("{stdout: {}}", "{couchbase: {}}", "spec.sink.couchbase"),
    ],
)
def test_no_other_fault_hides_those_of_the_expressions(
    tmp_path: Path, written: str, instead: str, path: str
) -> None:
    folder = looked(tmp_path, PIPELINE.replace(written, instead))

    paths = [misfit.path for misfit in folder.misfits]
    assert paths == [path, "spec.filter", "spec.transform.jq"]


def test_a_fault_of_an_expression_is_told_once(tmp_path: Path) -> None:
    folder = looked(tmp_path, PIPELINE.replace("filter: event.type ==", "filter: [1]"))

    assert [misfit.path for misfit in folder.misfits] == ["spec.filter", "spec.transform.jq"]


def test_an_expression_is_not_at_fault_where_no_process_can_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")

    assert looked(tmp_path, PIPELINE).misfits == []
