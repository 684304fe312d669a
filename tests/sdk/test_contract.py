"""
An SDK keeps the contract: each behaviour of sdk/contract.yaml is a case. It is the web's core in a
real browser, or the SDK whose adapter is at TRACKMATE_SDK_ADAPTER (docs/sdk-contract.md).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripted_ingest import scripted_ingest
from sdk_contract import Behaviour, Run, Sdk, behaviours
from web_sdk_adapter import web_sdk_adapter

DOCS = Path(__file__).parents[2] / "docs"
ADAPTER = os.environ.get("TRACKMATE_SDK_ADAPTER")
NEEDS = () if ADAPTER else ("chromium", "node")

pytestmark = [pytest.mark.needs(*NEEDS), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def sdk() -> Iterator[Sdk]:
    if ADAPTER:
        yield Sdk(ADAPTER)
        return
    with web_sdk_adapter() as url:
        yield Sdk(url)


def test_what_is_said_of_delivery_names_what_shows_it() -> None:
    said = (DOCS / "sdk-delivery.md").read_text("utf-8")
    here = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    tests = re.findall(r"`(test_\w+)`", said)
    assert [name for name in tests if f"def {name}(" not in here] == []

    claims = re.findall(r"\*(\w[^*]*?)(?: …)?\*", said)
    known = [behaviour.name for behaviour in behaviours()]
    assert [it for it in claims if not any(name.startswith(it) for name in known)] == []


def test_each_step_is_described() -> None:
    page = (DOCS / "sdk-contract.md").read_text("utf-8")
    steps = {next(iter(step)) if isinstance(step, dict) else step for step in all_steps()}
    assert {step for step in steps if f"`{step}`" not in page} == set()


def all_steps() -> list[Any]:
    return [step for behaviour in behaviours() for step in behaviour.steps]


@pytest.mark.parametrize("behaviour", behaviours(), ids=lambda it: it.name)
def test_the_sdk_keeps_the_contract(sdk: Sdk, behaviour: Behaviour) -> None:
    with scripted_ingest() as ingest:
        Run(behaviour, sdk, ingest).run()
