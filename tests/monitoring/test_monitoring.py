"""
Alerts, the dashboard and their page, against what the two programs really expose: an alert on a
metric that nobody has is silent for ever.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from consuming import consuming
from ingest_program import serving
from kafka_broker import kafka_brokers
from loopback import LOOPBACK
from trackmate_contract.record import Stamp, to_headers
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "monitoring/prometheus-rules.yaml").read_text("utf-8"))
DASHBOARD = json.loads((ROOT / "monitoring/grafana-dashboard.json").read_text("utf-8"))
PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
OF_PROMETHEUS = {"job", "instance"}
"""Labels that it adds to all that it scrapes."""

Exposed = Mapping[str, Mapping[str, set[str]]]
"""By sample: its labels, each with its values."""


def expressions() -> Iterator[tuple[str, str]]:
    for name, rule in ALERTS.items():
        yield name, rule["expr"]
    for title, panel in PANELS.items():
        for target in panel["targets"]:
            yield f"{title} {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """What Prometheus reads of both programs, once each has had something to do."""
    home = tmp_path_factory.mktemp("monitored")
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.images")
        cluster.create("acme.crm.dead", partitions=1)
        with serving(home, cluster) as program:
            bearer = {"Authorization": f"Bearer {program.key('server')}"}
            url = f"{program.url}/v1/events"
            assert httpx.post(url, json={"n": 1}, headers=bearer, **LOOPBACK).is_success
            of_ingest = httpx.get(program.metrics_url, **LOOPBACK, timeout=30).text
        producer = Producer(cluster.settings())
        headers: list[Any] = [*to_headers("e-1", Stamp(1_795_000_000_000, "web"))]
        producer.produce("acme.events", b"{}", headers=headers)
        producer.flush(30)
        producer.close()
        settings = {
            "affiliate": "acme",
            "pipeline": "crm",
            "spec": {"stream": "events", "sink": {"stdout": {}}},
            "kafka": {"bootstrapServers": cluster.bootstrap},
        }
        with consuming(home, settings) as consumer:
            name = "trackmate_pipeline_events_total"
            wait_until(lambda: consumer.metric(name, term="delivered") >= 1, "it is in the books")
            wait_until(lambda: "trackmate_pipeline_dead_letters{" in metrics(consumer.url), "told")
            of_consume = metrics(consumer.url)
    return read(of_ingest + of_consume)


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", **LOOPBACK).text


def read(text: str) -> Exposed:
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


class Names:
    """What an expression names: metrics with their matchers, and the labels it groups by."""

    def __init__(self, expression: str) -> None:
        self.selectors: dict[str, list[promql_parser.Matcher]] = {}
        self.labels: set[str] = set()
        promql_parser.walk(promql_parser.parse(expression), self._visit)

    def _visit(self, node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, "a selector without a metric"
            self.selectors.setdefault(node.name, []).extend(node.matchers.matchers)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            self.labels.update(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            self.labels.update(node.modifier.matching.labels)
        return True


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_asks_for_what_is_exposed(exposed: Exposed, name: str) -> None:
    names = Names(EXPRESSIONS[name])

    assert names.selectors
    assert [metric for metric in names.selectors if metric not in exposed] == []
    for metric, matchers in names.selectors.items():
        there = {*exposed[metric], *OF_PROMETHEUS}
        assert {matcher.name for matcher in matchers} <= there
        assert names.labels <= there, metric


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_term_of_the_ledger_that_is_asked_for_is_one(exposed: Exposed, name: str) -> None:
    terms = {
        matcher.value
        for matchers in Names(EXPRESSIONS[name]).selectors.values()
        for matcher in matchers
        if matcher.name == "term"
    }

    assert terms <= exposed["trackmate_pipeline_events_total"]["term"]


def test_the_affiliates_of_the_dashboard_are_those_that_are_exposed(exposed: Exposed) -> None:
    [variable] = [one for one in DASHBOARD["templating"]["list"] if one["name"] == "affiliate"]
    [(metric, label)] = re.findall(r"^label_values\((\w+), (\w+)\)$", variable["definition"])

    assert exposed[metric][label] == {"acme"}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "effect", "look", "act", "over", "loss"}
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", ALERTS)
def test_an_alerts_words_name_labels_that_its_expression_leaves(name: str) -> None:
    """Else they are empty when it fires."""
    rule, names = ALERTS[name], Names(ALERTS[name]["expr"])
    shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
    aggregated = re.search(r"\b(sum|max|min)\b", rule["expr"]) is not None
    left = names.labels if aggregated else {*OF_PROMETHEUS, "affiliate"}

    assert set(shown) <= left


def test_every_metric_is_in_the_page(exposed: Exposed) -> None:
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed}
    ours = {name for name in families if not name.endswith("_created")}

    assert {name for name in ours if f"`{name}`" not in PAGE} == set()
    named = set(re.findall(r"^\| `(trackmate_\w+)` \|", PAGE, re.MULTILINE))
    assert named == ours


def test_every_metric_of_a_program_is_on_the_dashboard(exposed: Exposed) -> None:
    asked = {metric for one in EXPRESSIONS.values() for metric in Names(one).selectors}

    missing = {
        name for name in exposed if name not in asked and not re.search(r"_(count|sum)$", name)
    }
    assert missing == set()
