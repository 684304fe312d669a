"""
The pipelines of an affiliate at work.
"""

import asyncio
import sys

import pytest

from trackmate.embedded.running import misspelt
from trackmate_contract.pipeline import Pipeline

PIPELINE = {
    "apiVersion": "trackmate.io/v1alpha1",
    "kind": "Pipeline",
    "metadata": {"name": "to-out", "namespace": "trackmate-acme"},
    "spec": {"stream": "events", "sink": {"stdout": {}}},
}


def pipeline(jq: str) -> Pipeline:
    spec = {"stream": "events", "transform": {"jq": jq}, "sink": {"stdout": {}}}
    return Pipeline.model_validate({**PIPELINE, "spec": spec})


def test_an_expression_that_cannot_run_is_misspelt() -> None:
    fault = asyncio.run(misspelt(pipeline("foo")))

    assert str(fault) == "line 1, column 1: foo/0 is not defined"


def test_an_expression_is_not_at_fault_where_no_process_can_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")

    assert asyncio.run(misspelt(pipeline("foo"))) is None
