"""
A stand-in for Strimzi's Topic Operator and User Operator: controllers on the API server of a test
that make in its Kafka what KafkaTopics and KafkaUsers say, and answer with the statuses of the real
ones. The real ones are Java programs in pods, which a test cannot have; `make verify-strimzi` asks
them instead.

Its limits. It looks every 0.1 s instead of watching, one object at a time and without batches. Of
users it knows SCRAM-SHA-512 with a generated password, and simple authorization; of quotas the two
byte rates, and it does not collect the names of users from them. There is no Cruise Control, so
replicas never change; no metrics, no events, no full queue; no Kafka resource is reconciled.
The schemas are as written in `strimzi_crds/`. Sentences that the operator does not read are not
always those of the real ones.
"""

import re
import secrets
import string
import threading
import time
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import KafkaException

from cluster_access import Cluster
from kafka_broker import ADMIN
from kafka_broker import Cluster as Kafka
from strimzi_kafka import InKafka

NAME, NAMESPACE = "events", "kafka"
"""The Kafka resource, and where it is."""
MANAGED = "strimzi.io/managed"
PAUSED = "strimzi.io/pause-reconciliation"
FINALIZER = "strimzi.io/topic-operator"
_CLUSTER, _KIND = "strimzi.io/cluster", "strimzi.io/kind"
_CRDS = Path(__file__).parent / "strimzi_crds"
_GROUP = f"/apis/kafka.strimzi.io/v1/namespaces/{NAMESPACE}"
_SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
_LOOK_S = 0.1
_MERGE, _APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
_GONE = 404

Document = dict[str, Any]


class _Failed(Exception):  # noqa: N818 - what happened
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class _Operator(ABC):
    """Looks at all objects of one kind, again and again, in a thread of its own."""

    plural: str

    def __init__(self, plane: Cluster, kafka: Kafka) -> None:
        self._plane = plane
        self.kafka = InKafka(kafka)
        self.on = True
        """Off, nobody answers."""
        self.slow_s = 0.0
        """How long it takes until it begins with an object that has changed."""
        self.failing = ""
        """Not empty: nothing works, for this reason."""
        self.full_pass_s = 2.0
        """How often it looks at what has not changed (Strimzi: 120 s)."""
        self.died: BaseException | None = None
        self._stopping = threading.Event()
        self._handled: dict[str, object] = {}
        """What each object was like when it was last handled, by its uid."""
        self._first_seen: dict[str, tuple[object, float]] = {}
        self._passed = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)
        if self.died is not None:
            raise self.died

    def _run(self) -> None:
        try:
            with self._plane.http() as self.client:
                while not self._stopping.wait(_LOOK_S):
                    try:
                        self._look()
                    except (httpx.HTTPError, KafkaException, TimeoutError, OSError):
                        continue  # the next look does it
        except BaseException as fault:  # noqa: BLE001 - told when it is stopped
            self.died = fault

    def _look(self) -> None:
        if not self.on:
            self._handled.clear()
            return
        found = self.got(f"{_GROUP}/{self.plural}")
        if found is None:
            return
        ours = [
            one for one in found["items"] if one["metadata"].get("labels", {}).get(_CLUSTER) == NAME
        ]
        full = time.monotonic() > self._passed + self.full_pass_s
        if full:
            self._passed = time.monotonic()
        for one in ours:
            uid, like = one["metadata"]["uid"], self.like(one)
            if not full and self._handled.get(uid) == like:
                continue
            if self._is_early(uid, like):
                continue
            self.handle(one, ours)
            self._handled[uid] = like
        self.finish(ours, full=full)

    def _is_early(self, uid: str, like: object) -> bool:
        before, since = self._first_seen.get(uid, (None, 0.0))
        if before != like:
            since = time.monotonic()
            self._first_seen[uid] = (like, since)
        return time.monotonic() < since + self.slow_s

    def like(self, one: Document) -> object:
        """What of it makes an operator look."""
        metadata = one["metadata"]
        return (
            metadata["generation"],
            metadata.get("annotations"),
            metadata.get("labels"),
            metadata.get("deletionTimestamp"),
            metadata.get("finalizers"),
            self.failing,
        )

    @abstractmethod
    def handle(self, one: Document, everything: list[Document]) -> None:
        """Do what it says, and say so in its status."""

    @abstractmethod
    def finish(self, everything: list[Document], *, full: bool) -> None:
        """After all were looked at."""

    def refuse(self, reason: str) -> None:
        """Where it is to fail."""
        if self.failing:
            raise _Failed(reason, self.failing)

    # the API server

    def got(self, path: str) -> Any:
        answer = self.client.get(path)
        if answer.status_code == _GONE:
            return None
        answer.raise_for_status()
        return answer.json()

    def patch(self, path: str, body: object, media: str, **params: str) -> None:
        answer = self.client.patch(
            path, json=body, headers={"Content-Type": media}, params={**params}
        )
        if answer.status_code != _GONE:
            answer.raise_for_status()

    def say(self, one: Document, *conditions: Document, **fields: Any) -> None:
        """Write the status where it says something else."""
        metadata = one["metadata"]
        status: Document = {"observedGeneration": metadata["generation"], **fields}
        before = one.get("status") or {}
        said = [_timeless(each) for each in before.get("conditions", [])]
        if said == [*conditions] and all(before.get(key) == status[key] for key in status):
            return
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        status["conditions"] = [{**each, "lastTransitionTime": now} for each in conditions]
        path = f"{_GROUP}/{self.plural}/{metadata['name']}/status"
        self.patch(path, {"status": status}, _MERGE)


def _timeless(condition: Mapping[str, Any]) -> Document:
    return {key: value for key, value in condition.items() if key != "lastTransitionTime"}


def _true(about: str) -> Document:
    return {"type": about, "status": "True"}


def _annotation(one: Document, name: str) -> str | None:
    found: str | None = one["metadata"].get("annotations", {}).get(name)
    return found


class TopicOperator(_Operator):
    """Of KafkaTopics."""

    plural = "kafkatopics"

    def handle(self, one: Document, everything: list[Document]) -> None:
        metadata = one["metadata"]
        path = f"{_GROUP}/{self.plural}/{metadata['name']}"
        finalizers = metadata.get("finalizers", [])
        if "deletionTimestamp" in metadata:
            if FINALIZER in finalizers:
                self._deleted(one, path, finalizers)
            return
        if FINALIZER not in finalizers:
            self.patch(path, {"metadata": {"finalizers": [*finalizers, FINALIZER]}}, _MERGE)
        if _annotation(one, MANAGED) == "false":
            self.say(one, _true("Unmanaged"), topicName=None, topicId=None)
        elif _annotation(one, PAUSED) == "true":
            self.say(one, _true("ReconciliationPaused"), topicId=None)
        else:
            self._managed(one, everything)

    def finish(self, everything: list[Document], *, full: bool) -> None:
        """What is gone without its finalizer is nobody's here."""

    def _managed(self, one: Document, everything: list[Document]) -> None:
        name = _topic_name(one)
        try:
            self.refuse("KafkaError")
            _refuse_conflict(one, everything)
            self._keep(one, name)
        except _Failed as failed:
            self._fail(one, failed)
        except KafkaException as fault:
            self._fail(one, _Failed("KafkaError", fault.args[0].str()))
        else:
            found = self.kafka.topic(name)
            self.say(one, _true("Ready"), topicName=name, topicId=found.id if found else None)

    def _keep(self, one: Document, name: str) -> None:
        known = (one.get("status") or {}).get("topicName")
        if known is not None and known != name:
            raise _Failed("NotSupported", "Changing spec.topicName is not supported")
        spec = one["spec"]
        config = {key: _text(value) for key, value in spec.get("config", {}).items()}
        found = self.kafka.topic(name)
        if found is None:
            self.kafka.create(name, spec.get("partitions", -1), spec.get("replicas", -1), config)
            return
        partitions = spec.get("partitions", found.partitions)
        if partitions > found.partitions:
            self.kafka.grow(name, partitions)
        self.kafka.configure(name, config, found.config)  # whatever else is not supported
        if partitions < found.partitions:
            raise _Failed("NotSupported", "Decreasing partitions not supported")
        if spec.get("replicas", found.replicas) != found.replicas:
            raise _Failed(
                "NotSupported",
                "Replication factor change not supported, but required for partitions "
                f"{[*range(found.partitions)]}",
            )

    def _fail(self, one: Document, failed: _Failed) -> None:
        self.say(
            one,
            {
                "type": "Ready",
                "status": "False",
                "reason": failed.reason,
                "message": failed.message,
            },
        )

    def _deleted(self, one: Document, path: str, finalizers: list[str]) -> None:
        if _annotation(one, MANAGED) != "false":
            try:
                self.refuse("KafkaError")
                self.kafka.delete(_topic_name(one))
            except _Failed as failed:
                self._fail(one, failed)
                return
        left = [each for each in finalizers if each != FINALIZER]
        self.patch(path, {"metadata": {"finalizers": left}}, _MERGE)


def _topic_name(one: Document) -> str:
    return str(one["spec"].get("topicName") or one["metadata"]["name"])


def _refuse_conflict(one: Document, everything: list[Document]) -> None:
    """The oldest KafkaTopic of a topic wins; of one second, the one that has it already."""

    def age(each: Document) -> tuple[str, bool, str]:
        has_it = "topicId" in (each.get("status") or {})
        return each["metadata"]["creationTimestamp"], not has_it, each["metadata"]["uid"]

    rivals = [
        each
        for each in everything
        if _topic_name(each) == _topic_name(one) and _annotation(each, MANAGED) != "false"
    ]
    oldest = min(rivals, key=age)
    if oldest["metadata"]["uid"] != one["metadata"]["uid"]:
        name = oldest["metadata"]["name"]
        raise _Failed(
            "ResourceConflict", f"Managed by Ref{{namespace='{NAMESPACE}', name='{name}'}}"
        )


def _text(value: Any) -> str:
    """
    >>> [_text(value) for value in ("a", 1, True, ["compact", "delete"])]
    ['a', '1', 'true', 'compact,delete']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


class UserOperator(_Operator):
    """Of KafkaUsers, and of everybody else in Kafka."""

    plural = "kafkausers"

    def __init__(self, plane: Cluster, kafka: Kafka) -> None:
        super().__init__(plane, kafka)
        self.ignored = re.compile(ADMIN)
        """STRIMZI_IGNORED_USERS_PATTERN."""
        self.removes_others = True
        """Whether users that no KafkaUser asks for are removed, with each full pass."""
        self.secret_prefix = ""
        self._known: set[str] = set()
        self._passwords: dict[str, str] = {}
        self._secrets: dict[str, Document] = {}

    def like(self, one: Document) -> object:
        secret = self._secrets.get(self._secret_name(one["metadata"]["name"]))
        return super().like(one), secret and secret["metadata"]["resourceVersion"]

    def _look(self) -> None:
        found = self.got(_SECRETS) if self.on else {"items": []}
        self._secrets = {one["metadata"]["name"]: one for one in found["items"]}
        super()._look()

    def handle(self, one: Document, everything: list[Document]) -> None:
        name = one["metadata"]["name"]
        if _annotation(one, PAUSED) == "true":
            self.say(one, _true("ReconciliationPaused"))
            return
        try:
            self.refuse("InvalidResourceException")
            self._keep(one, name)
        except _Failed as failed:
            condition = {
                "type": "NotReady",
                "status": "True",
                "reason": failed.reason,
                "message": failed.message,
            }
            self.say(one, condition)
        else:
            self.say(one, _true("Ready"), username=name, secret=self._secret_name(name))
        self._known.add(name)

    def _keep(self, one: Document, name: str) -> None:
        spec = one["spec"]
        kind = spec.get("authentication", {}).get("type")
        if kind != "scram-sha-512" or "password" in spec["authentication"]:
            raise _Failed("InvalidResourceException", f"the stand-in knows no {kind} of this kind")
        password = self._password(name)
        self._write_secret(one, name, password)
        if self._passwords.get(name) != password or name not in self.kafka.logins():
            self.kafka.set_password(name, password)
            self._passwords[name] = password
        self.kafka.set_acls(name, spec.get("authorization", {}).get("acls", []))
        quotas = spec.get("quotas", {})
        names = {
            "producerByteRate": "producer_byte_rate",
            "consumerByteRate": "consumer_byte_rate",
        }
        self.kafka.set_quotas(
            name, {names[key]: float(value) for key, value in quotas.items() if key in names}
        )

    def _password(self, user: str) -> str:
        """That of its Secret; a new one where there is none."""
        secret = self._secrets.get(self._secret_name(user), {})
        held = (secret.get("data") or {}).get("password")
        if held:
            return b64decode(held).decode()
        letters = string.ascii_letters + string.digits
        return "".join(secrets.choice(letters) for _ in range(32))

    def _write_secret(self, one: Document, name: str, password: str) -> None:
        metadata = one["metadata"]
        template = one["spec"].get("template", {}).get("secret", {}).get("metadata", {})
        login = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="{name}" password="{password}";'
        )
        values = {"password": password, "sasl.jaas.config": login}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self._secret_name(name),
                "namespace": NAMESPACE,
                "labels": {
                    **template.get("labels", {}),
                    "app.kubernetes.io/instance": name,
                    "app.kubernetes.io/managed-by": "strimzi-user-operator",
                    "app.kubernetes.io/name": "strimzi-user-operator",
                    "app.kubernetes.io/part-of": f"strimzi-{name}",
                    _CLUSTER: NAME,
                    _KIND: "KafkaUser",
                },
                "ownerReferences": [
                    {
                        "apiVersion": one["apiVersion"],
                        "kind": "KafkaUser",
                        "name": name,
                        "uid": metadata["uid"],
                        "controller": False,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "type": "Opaque",
            "data": {key: b64encode(value.encode()).decode() for key, value in values.items()},
        }
        path = f"{_SECRETS}/{self._secret_name(name)}"
        self.patch(path, secret, _APPLY, fieldManager="strimzi-user-operator", force="true")

    def _secret_name(self, user: str) -> str:
        return f"{self.secret_prefix}{user}"

    def finish(self, everything: list[Document], *, full: bool) -> None:
        names = {one["metadata"]["name"] for one in everything}
        gone = self._known - names
        if full and self.removes_others:
            in_kafka = self.kafka.logins()
            in_kafka |= {one.principal.removeprefix("User:") for one in self.kafka.acls()}
            gone |= {user for user in in_kafka - names if not self.ignored.fullmatch(user)}
        for user in gone:
            self.kafka.remove(user)
            self._passwords.pop(user, None)
            self._known.discard(user)
        for name, secret in self._secrets.items():
            labels = secret["metadata"].get("labels", {})
            ours = (labels.get(_KIND), labels.get(_CLUSTER)) == ("KafkaUser", NAME)
            if ours and name.removeprefix(self.secret_prefix) not in names:
                self.client.delete(f"{_SECRETS}/{name}")


@dataclass
class StandIn:
    """Both, and the Kafka resource that they belong to."""

    topics: TopicOperator
    users: UserOperator


def install(plane: Cluster) -> None:
    """The custom resources and the namespace."""
    plane.kubectl("apply", "--server-side", "-f", str(_CRDS))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(_CRDS))
    if plane.tried("get", "namespace", NAMESPACE).returncode != 0:
        plane.kubectl("create", "namespace", NAMESPACE)


def make_kafka(plane: Cluster, cluster_id: str) -> None:
    """The Kafka resource, as the Cluster Operator leaves it."""
    operators: Document = {"topicOperator": {}, "userOperator": {}}
    spec = {"kafka": {}, "entityOperator": operators}
    plane.apply(
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "Kafka",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": spec,
        }
    )
    status = f'{{"status":{{"clusterId":"{cluster_id}"}}}}'
    plane.kubectl(
        *("patch", "kafka", NAME, "-n", NAMESPACE),
        *("--subresource=status", "--type=merge", "-p", status),
    )


@contextmanager
def strimzi(plane: Cluster, kafka: Kafka) -> Iterator[StandIn]:
    """Installed, and at work until the end."""
    install(plane)
    found = StandIn(TopicOperator(plane, kafka), UserOperator(plane, kafka))
    make_kafka(plane, found.topics.kafka.cluster_id())
    found.topics.start()
    found.users.start()
    try:
        yield found
    finally:
        found.topics.stop()
        found.users.stop()
