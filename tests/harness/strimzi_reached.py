"""
Strimzi for the tests: the stand-in on a throw-away control plane with a throw-away Kafka, or the
real one of a cluster that `make verify-strimzi` names.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster_access import Cluster
from cluster_binaries import binaries
from control_plane import control_plane
from kafka_broker import Cluster as Kafka
from kafka_broker import kafka_brokers
from operating import SYSTEM
from strimzi_standin import NAME, NAMESPACE, strimzi
from waiting_for import wait_until

_ANSWERED_S = 30.0
_REAL_S = 180.0  # more than a full pass of the real ones


@dataclass
class Reached:
    """A cluster with Strimzi in it."""

    plane: Cluster
    kafka: Kafka
    name: str
    """The Kafka resource."""
    namespace: str
    answered_s: float = _ANSWERED_S
    """Within which Strimzi has done whatever it does, a full pass included."""

    @property
    def settings(self) -> dict[str, Any]:
        """Of the operator."""
        return {"strimzi": {"cluster": self.name, "namespace": self.namespace}}

    def topic(self, name: str, **spec: Any) -> dict[str, Any]:
        return self._resource("KafkaTopic", name, {"partitions": 1, "replicas": 1, **spec})

    def user(self, name: str, topic: str = "", **spec: Any) -> dict[str, Any]:
        """One that may read and write the topic."""
        rule = {"resource": {"type": "topic", "name": topic}, "operations": ["Read", "Write"]}
        acls = [rule] if topic else []
        return self._resource(
            "KafkaUser",
            name,
            {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": acls},
                **spec,
            },
        )

    def _resource(self, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"strimzi.io/cluster": self.name},
            },
            "spec": spec,
        }

    def read(self, kind: str, name: str) -> Any:
        """None where it is not there."""
        found = self.plane.tried("get", kind, name, "-n", self.namespace, "-o", "json")
        return yaml.safe_load(found.stdout) if found.returncode == 0 else None

    def conditions(self, kind: str, name: str) -> dict[str, tuple[str, str, str]]:
        """Status, reason and message by the type; nothing while they speak of an older one."""
        found = self.read(kind, name) or {"metadata": {}}
        status = found.get("status") or {}
        if status.get("observedGeneration") != found["metadata"].get("generation"):
            return {}
        return {
            one["type"]: (one["status"], one.get("reason", ""), one.get("message", ""))
            for one in status.get("conditions", [])
        }

    def wait_for(self, kind: str, name: str, about: str, status: str = "True") -> tuple[str, str]:
        """Reason and message, once the condition is so."""
        found: dict[str, tuple[str, str, str]] = {}

        def is_so() -> bool:
            found.update(self.conditions(kind, name))
            return found.get(about, ("", "", ""))[0] == status

        wait_until(is_so, f"{about}={status} of {kind} {name}", seconds=self.answered_s)
        return found[about][1:]

    def delete(self, kind: str, name: str, *, wait: bool = True) -> None:
        waits = "--timeout=60s" if wait else "--wait=false"
        self.plane.kubectl("delete", kind, name, "-n", self.namespace, waits)

    def annotate(self, kind: str, name: str, *annotations: str) -> None:
        self.plane.kubectl("annotate", kind, name, "-n", self.namespace, *annotations)


@contextmanager
def strimzi_reached() -> Iterator[Reached]:
    """With Trackmate's custom resources and the operator's namespace in it."""
    context = os.environ.get("TRACKMATE_STRIMZI_CONTEXT")
    if context:
        with tempfile.TemporaryDirectory(prefix="strimzi-") as folder:
            found = _real(Path(folder), context)
            _prepare(found.plane)
            yield found
        return
    with control_plane() as plane, kafka_brokers(secured=True) as kafka:
        _prepare(plane)
        with strimzi(plane, kafka):
            yield Reached(plane, kafka, NAME, NAMESPACE)


def _prepare(plane: Cluster) -> None:
    plane.install_crds()
    if plane.tried("get", "namespace", SYSTEM).returncode != 0:
        plane.kubectl("create", "namespace", SYSTEM)


class _RealKafka(Kafka):
    """That of the real Strimzi, by a user that may do everything."""

    @property
    def bootstrap(self) -> str:
        return os.environ["TRACKMATE_STRIMZI_BOOTSTRAP"]

    def settings(self, user: str = "", password: str = "") -> dict[str, Any]:
        found = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL" if self.ca_file else "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user or os.environ["TRACKMATE_STRIMZI_USERNAME"],
            "sasl.password": password or os.environ["TRACKMATE_STRIMZI_PASSWORD"],
        }
        return {**found, **({"ssl.ca.location": str(self.ca_file)} if self.ca_file else {})}


class _RealReached(Reached):
    @property
    def settings(self) -> dict[str, Any]:
        kafka = self.kafka
        login = kafka.settings()
        file = self.plane.home / "kafka-password"
        file.write_text(login["sasl.password"])
        tls = {"tls": {"caFile": str(kafka.ca_file)}} if kafka.ca_file else {}
        sasl = {"username": login["sasl.username"], "passwordFile": str(file)}
        return {
            **super().settings,
            "kafka": {"bootstrapServers": kafka.bootstrap, "sasl": sasl, **tls},
        }


def _real(home: Path, context: str) -> Reached:
    view = ("config", "view", "--minify", "--flatten", "--raw", f"--context={context}")
    shown = subprocess.run(
        [str(binaries() / "kubectl"), *view], check=True, capture_output=True, text=True
    ).stdout
    (home / "kubeconfig").write_text(shown)
    url = yaml.safe_load(shown)["clusters"][0]["cluster"]["server"]
    authority = os.environ.get("TRACKMATE_STRIMZI_CA")
    kafka = _RealKafka([], secured=True, ca_file=Path(authority) if authority else None)
    name = os.environ.get("TRACKMATE_STRIMZI_CLUSTER") or NAME
    namespace = os.environ.get("TRACKMATE_STRIMZI_NAMESPACE") or NAMESPACE
    return _RealReached(Cluster(home, url), kafka, name, namespace, _REAL_S)
