"""
What a pipeline's process takes into memory: the client of its own sink alone.
"""

import json
import subprocess
import sys

import pytest

CLIENTS = {"aiohttp", "asyncpg", "couchbase"}

MAKE = """
import json, sys
import trackmate_consume.main
from trackmate_consume.assembly import Surroundings, sink_of
from trackmate_contract.manifest import parse

manifest = json.loads(sys.argv[1])
sink_of(parse(manifest).spec, Surroundings(lambda ref: "postgresql://127.0.0.1/events"))
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.parametrize(
    ("sink", "clients"),
    [
        ({"stdout": {}}, set()),
        ({"files": {"path": "/data"}}, set()),
        ({"kafka": {"bootstrapServers": "127.0.0.1:9092", "topic": "events"}}, set()),
        ({"http": {"url": "https://crm.acme.example"}}, {"aiohttp"}),
        (
            {"postgres": {"connectionSecretRef": {"name": "db", "key": "url"}, "table": "events"}},
            {"asyncpg"},
        ),
    ],
    ids=["stdout", "files", "kafka", "http", "postgres"],
)
def test_a_pipeline_imports_the_client_of_its_own_sink_alone(
    sink: dict[str, object], clients: set[str]
) -> None:
    manifest = {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "one", "namespace": "trackmate-acme"},
        "spec": {"stream": "events", "sink": sink},
    }

    done = subprocess.run(
        [sys.executable, "-c", MAKE, json.dumps(manifest)], check=True, capture_output=True
    )

    assert {*json.loads(done.stdout)} & CLIENTS == clients
