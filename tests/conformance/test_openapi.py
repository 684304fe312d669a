"""
The OpenAPI document is true: schemathesis asks every operation as the document says one may, and as
it says one may not, and holds each answer against it.
"""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from running import Dev

SEGMENT = ("track", "identify", "page", "screen", "group", "alias", "batch")
OPERATIONS = (
    "GET /healthz",
    "GET /readyz",
    "GET /v1/projects/{key}/settings",
    "POST /v1/events",
    "POST /v1/raw/{stream}",
    *(f"POST /v1/{name}" for name in SEGMENT),
    *(f"POST /v1/{name[0]}" for name in SEGMENT),
)

# What a schema cannot say of a text: it holds JSON, and for a batch an object with `batch`.
TEXT = st.dictionaries(st.text(), st.integers() | st.text(), max_size=3).map(
    lambda event: json.dumps({"batch": [event], **event}).encode()
)
schemathesis.openapi.media_type("text/plain", TEXT)
schemathesis.openapi.media_type(
    "application/x-ndjson", st.lists(TEXT, min_size=1, max_size=3).map(b"\n".join)
)


@pytest.fixture(scope="module")
def document(dev: Dev) -> Any:
    found = schemathesis.openapi.from_url(f"{dev.url}/openapi.json")
    found.config.checks.negative_data_rejection.expected_statuses += ["413"]  # more than maxItems
    return found


def test_every_route_of_the_interface_is_in_the_document(document: Any) -> None:
    found = {result.ok().label for result in document.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(
    ("label", "mode"),
    [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
    + [(label, GenerationMode.NEGATIVE) for label in OPERATIONS if label.startswith("POST")],
)
def test_every_answer_is_one_that_the_document_promises(
    dev: Dev, document: Any, label: str, mode: GenerationMode
) -> None:
    method, path = label.split()
    operation = document[path][method]
    key = {"Authorization": f"Bearer {dev.key('server')}"}

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=key)

    ask()
