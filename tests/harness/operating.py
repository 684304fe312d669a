"""
A real `trackmate-operator` beside a real control plane and a real Kafka: its own process and files.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from cluster_access import Cluster
from kafka_broker import ADMIN, PASSWORD
from kafka_broker import Cluster as Kafka
from waiting_for import wait_until
from whole_lines import whole_lines

PROGRAM = str(Path(sys.executable).with_name("trackmate-operator"))
SYSTEM = "trackmate-system"

_SETTLED_S = 30


@dataclass
class Operating:
    """One process."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return whole_lines(self.log_file)

    def said(self, message: str) -> list[dict[str, Any]]:
        """The lines of its log with this message."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def become(self, other: "Operating") -> None:
        """As when the kubelet begins it anew."""
        self.process, self.log_file = other.process, other.log_file

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def settings(home: Path, kafka: Kafka, /, **more: Any) -> Path:
    """Its settings file. The root secret is made once for a folder."""
    root = home / "root"
    if not root.exists():
        root.write_text(secrets.token_hex(32))
    (home / "password").write_text(PASSWORD)
    login = {"username": ADMIN, "passwordFile": str(home / "password")}
    written = {
        "hostTemplate": "{affiliate}.track.example.com",
        "rootSecretFile": str(root),
        "kafka": {"bootstrapServers": kafka.bootstrap, "sasl": login},
        "topics": {"replicas": 1, "minInsyncReplicas": 1},
        "metrics": {"host": "127.0.0.1", "port": 0},
        "resync": "10s",
        **more,
    }
    file = home / "settings.yaml"
    file.write_text(yaml.safe_dump(written))
    return file


def start(
    home: Path, plane: Cluster, kafka: Kafka, /, *, as_: Path | None = None, **more: Any
) -> Operating:
    """
    Return once it runs; whether it leads is another matter. `as_` is another's kubeconfig than the
    administrator's.
    """
    file = settings(home, kafka, **more)
    log_file = home / f"log-{len([*home.glob('log-*')])}"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "--settings", str(file)],
            stdout=log,
            stderr=log,
            env={**os.environ, "KUBECONFIG": str(as_ or plane.kubeconfig)},
        )
    running = Operating(process, log_file)

    def started() -> bool:
        assert process.poll() is None, running.log
        return bool(running.said("started"))

    wait_until(started, "the operator runs", seconds=_SETTLED_S)
    return running


@contextmanager
def operating(home: Path, plane: Cluster, kafka: Kafka, /, **more: Any) -> Iterator[Operating]:
    """It runs, and ends well."""
    running = start(home, plane, kafka, **more)
    try:
        yield running
        assert running.stop() == 0, running.log
    finally:
        if running.process.poll() is None:
            running.kill()


def condition(document: Any, about: str = "Ready") -> tuple[str, str, str]:
    """Status, reason and message; "" where it is not there yet."""
    for one in (document.get("status") or {}).get("conditions", []):
        if one["type"] == about and _current(document):
            return one["status"], one["reason"], one["message"]
    return "", "", ""


def _current(document: Any) -> bool:
    """Whether the status speaks of the spec as it is."""
    return bool(document["status"].get("observedGeneration") == document["metadata"]["generation"])


def wait_for(
    read: Callable[[], Any], *, about: str = "Ready", status: str = "True", reason: str = ""
) -> Any:
    """Wait until the condition of what is read is so; returns what was read last."""
    found: Any = None

    def is_so() -> bool:
        nonlocal found
        found = read()
        said = condition(found, about)
        return said[0] == status and reason in {"", said[1]}

    try:
        wait_until(is_so, "the condition", seconds=_SETTLED_S)
    except AssertionError:
        raise AssertionError(
            f"{about} did not become {status} {reason}: {json.dumps(found.get('status'), indent=1)}"
        ) from None
    return found


def ready(plane: Cluster, name: str) -> Any:
    """The Affiliate, once it is Ready."""
    return wait_for(lambda: plane.read("affiliate", name))


def blocked(plane: Cluster, name: str, reason: str, status: str = "False") -> str:
    """The message of its Ready, once it is not ready for this reason."""
    found = wait_for(lambda: plane.read("affiliate", name), status=status, reason=reason)
    return condition(found)[2]


def users(kafka: Kafka) -> set[str]:
    """All that can log in."""
    admin = kafka.admin()  # one that is let go ends what was asked
    asked: Any = admin.describe_user_scram_credentials()
    return set(asked.result(timeout=10))


def topics(kafka: Kafka) -> set[str]:
    return set(kafka.admin().list_topics(timeout=10).topics)


def store(kafka: Kafka, topic: str) -> None:
    """Data that must not be lost."""
    producer = Producer(kafka.settings())
    producer.produce(topic, b"precious")
    assert producer.flush(20) == 0


def stored(kafka: Kafka, topic: str) -> int:
    consumer = Consumer({**kafka.settings(), "group.id": "looks"})
    try:
        partitions = kafka.admin().list_topics(topic, timeout=10).topics[topic].partitions
        ends = [
            consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=10)
            for one in partitions
        ]
    finally:
        consumer.close()
    return sum(high - low for low, high in ends)
