"""
What the operator publishes of the platform is enough to plan the same, and nothing of it secret.
"""

import json
from collections.abc import Iterable

from tenants import ROOT, platform, tenant
from trackmate_operator.kinds import SECRET, Ref, ref
from trackmate_operator.plan.affiliate import objects
from trackmate_operator.plan.kafka import wanted
from trackmate_operator.published import platform_of, published
from trackmate_operator.tenant import Document

GIVEN = platform(
    "a certificate",
    clients={"bootstrapServers": "kafka.inside:9093"},
    kafka={
        "bootstrapServers": "kafka.example:9093",
        "tls": {},
        "sasl": {"username": "operator", "passwordFile": "/etc/a-canary"},
    },
    topics={"replicas": 2, "minInsyncReplicas": 1},
    quota={"cpu": "3"},
    allowedNetworks=["10.0.0.0/8"],
    hostTemplate="{affiliate}.example.net",
    lease={"namespace": "elsewhere"},
)


def test_who_reads_it_plans_as_the_operator_does() -> None:
    there = platform_of(published(GIVEN))
    one = tenant(pipelines=("to-crm",), given=GIVEN)

    assert there.settings.host_template == GIVEN.settings.host_template
    assert wanted(one, there.settings.topics) == wanted(one, GIVEN.settings.topics)
    assert _but_keys(objects(one, there)) == _but_keys(objects(one, GIVEN))


def _but_keys(documents: Iterable[Document]) -> list[Document]:
    return [one for one in documents if ref(one) != Ref(SECRET, "acme-keys", "trackmate-acme")]


def test_it_holds_no_secret_and_no_file_of_one() -> None:
    text = json.dumps(published(GIVEN))
    assert ROOT.decode() not in text
    assert "canary" not in text
