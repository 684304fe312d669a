"""
One pipeline meets bombs in a row; another of the same stream and process delivers on meanwhile, and
in the end every bomb is a dead letter and every other event delivered.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx

from loopback import LOOPBACK
from receiver import receiving
from running import Dev
from waiting_for import wait_until

StartDev = Callable[..., Dev]

PIPELINES = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: bombed, namespace: trackmate-acme}}
spec:
  stream: events
  transform:
    jq: |
      if .bomb == 0 then def f: f; f
      elif .bomb == 1 then reduce range(99) as $i ("xx"; . + .)
      elif .bomb == 2 then ("a" * 40 + "!") | test("^(a+)+$")
      elif .bomb == 3 then [limit(1e9; repeat(1))]
      else .messageId end
  sink: {{stdout: {{}}}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: calm, namespace: trackmate-acme}}
spec:
  stream: events
  filter: "!has(event.bomb)"
  sink: {{http: {{url: "{url}"}}}}
"""

BOMBS, CALM = 24, 200


def test_a_pipeline_delivers_on_while_its_neighbour_meets_bombs(start_dev: StartDev) -> None:
    with receiving() as backend:
        dev = start_dev()
        (dev.manifests / "pipelines.yaml").write_text(PIPELINES.format(url=backend.url))
        wait_until(lambda: {"bombed", "calm"} <= lines(dev).keys(), "both run")
        post(dev, [{"messageId": f"b-{n}", "bomb": n % 4} for n in range(BOMBS)])
        post(dev, [{"messageId": f"c-{n}"} for n in range(CALM)])

        arrived = {json.loads(request.body)["messageId"] for request in backend.wait_for(CALM)}
        bombed = lines(dev)["bombed"]

        assert bombed["in_flight"] > 0, "no bomb was left: nothing was shown"
        assert arrived == {f"c-{n}" for n in range(CALM)}
        wait_until(lambda: lines(dev)["bombed"]["in_flight"] == 0, "all settle", seconds=60)
        letters = dev.read("dead-letters", "list", "acme/bombed")["letters"]
        assert {letter["id"] for letter in letters} == {f"b-{n}" for n in range(BOMBS)}
        assert {letter["reason"] for letter in letters} == {"transform_limit"}
        assert lines(dev)["bombed"]["delivered"] == CALM
        assert dev.audit()["balanced"]


def lines(dev: Dev) -> dict[str, Any]:
    """The books' lines, by pipeline."""
    return {line["name"]: line for line in dev.audit()["pipelines"]}


def post(dev: Dev, events: list[dict[str, Any]]) -> None:
    answer = httpx.post(
        f"{dev.url}/v1/events",
        json=events,
        headers={"Authorization": f"Bearer {dev.key('server')}"},
        **LOOPBACK,
    )
    assert answer.status_code == 200, answer.text
