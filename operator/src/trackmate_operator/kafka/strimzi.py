"""
Topics and users made by Strimzi: the operator keeps KafkaTopics and KafkaUsers beside the Kafka
resource, and waits for Strimzi to make of them what they say.

A KafkaTopic that is deleted takes its data along, unless Strimzi was told before to let go of it.
So none is ever deleted but after that, or where the data is to go; and one that is being deleted is
not written any more, as that could take back what Strimzi was told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from confluent_kafka import KafkaError

from trackmate_operator.apply import PLANNED, Due, due, marked, write
from trackmate_operator.backend import Down, Item, Kept
from trackmate_operator.clock import Clock
from trackmate_operator.cluster import Cluster, Denied
from trackmate_operator.declared import text_of
from trackmate_operator.drift import Drift, who_changed
from trackmate_operator.kafka import topics
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.rights import is_of
from trackmate_operator.kafka.seeing import comes_to_hold
from trackmate_operator.kafka.strimzi_there import secret_of, what_is_missing
from trackmate_operator.kafka.topics import Found
from trackmate_operator.kinds import KAFKA, KAFKA_TOPIC, KAFKA_USER, SECRET, Ref, ref
from trackmate_operator.plan import strimzi as plan
from trackmate_operator.plan.kafka import Topic, Wanted
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.settings import Strimzi as Settings
from trackmate_operator.strimzi_status import MANAGED, is_let_go, is_unmanaged, standing
from trackmate_operator.tenant import Document

_SEEN_S = 15.0  # how long Strimzi may take to do what an end waits for
_LOOK_S = 0.2
_THERE_S = 10.0  # how long it is taken for granted that Strimzi is there
_KIND = "strimzi.io/kind"  # the label of the Secrets that Strimzi makes


@dataclass
class _Pass:
    """What a pass has found, and has to tell."""

    faults: dict[Ref, str] = field(default_factory=dict)
    awaited: dict[Ref, str] = field(default_factory=dict)
    mended: dict[Ref, str] = field(default_factory=dict)
    left: list[Ref] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


class Strimzi:
    """Keeps the contract of `trackmate_operator.backend.Backend`. Raises Stale and Unanswered."""

    def __init__(self, cluster: Cluster, admin: Admin, settings: Settings, clock: Clock) -> None:
        self._cluster = cluster
        self._admin = admin
        self._settings = settings
        self._clock = clock
        self._drift = Drift(clock.elapsed_s)
        self._there_until = 0.0

    async def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        return await self._admin.topic_ids(names)

    async def keep(
        self, affiliate: str, affiliate_id: str, wanted: Wanted, held: Mapping[str, str]
    ) -> Kept:
        """The passwords are Strimzi's, which keeps them: those that are `held` do not count."""
        await self._see_strimzi()
        done = _Pass()
        in_kafka = await self._admin.topics([one.name for one in wanted.topics])
        planned = {
            ref(one): marked(_never_smaller(one, in_kafka))
            for one in plan.resources(affiliate, wanted, self._settings)
        }
        there = await self._all_of(affiliate)
        await asyncio.gather(
            *(self._end(document, done) for one, document in there.items() if one not in planned)
        )
        for one, document in planned.items():
            await self._make(affiliate, document, there.get(one), done)
        for one in done.mended:
            self._drift.mended(affiliate, one, done.mended[one])
        ids = self._judge_topics(wanted.topics, in_kafka, done)
        passwords = await self._passwords(affiliate, planned, done)
        return Kept(
            ids,
            passwords,
            _by_item(done.faults),
            _by_item(done.awaited),
            done.changed,
            done.mended,
            done.left,
        )

    async def revoke(self, affiliate: str) -> None:
        await self._see_strimzi(anew=True)
        others = set()
        for one, document in (await self._users(affiliate)).items():
            if _is_ours(document, affiliate):
                await self._delete(one)
            else:
                others.add(one.name)
        if not await _until(lambda: self._nobody_logs_in(affiliate, others)):
            raise Down(
                f"Strimzi's User Operator has not taken the users of {affiliate!r} out of Kafka "
                f"yet; see that the User Operator of the Kafka {self._settings.cluster!r} in "
                f"namespace {self._settings.namespace} runs."
            )

    async def release(self, affiliate: str, topics: Sequence[str]) -> None:
        await self._see_strimzi(anew=True)
        found = await asyncio.gather(*map(self._topic, topics))
        await asyncio.gather(*(self._release(one) for one in found if _is_ours(one, affiliate)))

    async def drop(self, affiliate: str, topics: Sequence[str]) -> None:
        await self._see_strimzi(anew=True)
        found = [one for one in await asyncio.gather(*map(self._topic, topics)) if one is not None]
        for document in found:
            if not _is_ours(document, affiliate):
                raise Down(_stranger(document, affiliate))
        for document in found:
            await self._delete(ref(document))
        await asyncio.gather(*(self._until_gone(ref(document)) for document in found))
        await self._drop_released(topics)

    # what is there

    async def _see_strimzi(self, *, anew: bool = False) -> None:
        """Otherwise an empty list would be taken for nothing to do."""
        if self._clock.elapsed_s() < self._there_until and not anew:
            return
        with _allowed("read CustomResourceDefinitions and Kafkas"):
            missing = await what_is_missing(self._cluster, self._settings)
        if missing:
            self._there_until = 0.0
            raise Down(" ".join(missing))
        self._there_until = self._clock.elapsed_s() + _THERE_S

    async def _all_of(self, affiliate: str) -> dict[Ref, Document]:
        found: dict[Ref, Document] = {}
        for kind in (KAFKA_TOPIC, KAFKA_USER):
            with _allowed(f"list {kind.plural}"):
                for item in await self._cluster.list(
                    kind,
                    namespace=self._settings.namespace,
                    labels=f"{AFFILIATE}={affiliate}",
                ):
                    found[ref(item)] = item
        return found

    async def _users(self, affiliate: str) -> dict[Ref, Document]:
        """Also those whose label somebody took off."""
        labels = f"{plan.CLUSTER}={self._settings.cluster}"
        with _allowed(f"list {KAFKA_USER.plural}"):
            found = await self._cluster.list(
                KAFKA_USER, namespace=self._settings.namespace, labels=labels
            )
        return {ref(one): one for one in found if is_of(affiliate, one["metadata"]["name"])}

    async def _topic(self, name: str) -> Document | None:
        with _allowed(f"read {KAFKA_TOPIC.plural}"):
            return await self._cluster.get(Ref(KAFKA_TOPIC, name, self._settings.namespace))

    # making

    async def _make(
        self, affiliate: str, document: Document, found: Document | None, done: _Pass
    ) -> None:
        one = ref(document)
        if found is None:
            found = await self._cluster.get(one)  # somebody took our label off, or it is not ours
        if found is not None and not _is_ours(found, affiliate):
            done.faults[one] = _stranger(found, affiliate)
            return
        try:
            found = await self._keep(affiliate, document, found, done)
        except Denied as why:
            await self._see_strimzi(anew=True)
            done.faults[one] = f"{one} cannot be made: {why}."
            return
        if found is not None:
            said = standing(found, self._settings, now_ms=self._clock.now_ms())
            if said.fault:
                done.faults[one] = said.fault
            if said.awaited:
                done.awaited[one] = said.awaited

    async def _keep(
        self, affiliate: str, document: Document, found: Document | None, done: _Pass
    ) -> Document | None:
        """As it is afterwards; None where a fault says why it is not there."""
        one = ref(document)
        if found is None:
            taken = await self._taken_secret(one)
            if taken:
                done.faults[one] = taken
                return None
            done.changed.append(f"Made {one}.")
            return await write(self._cluster, document, None)
        if "deletionTimestamp" in found["metadata"]:
            return found
        turn = due(found, document, rests=one in self._drift.resting(affiliate))
        if turn is Due.CHANGE:
            done.changed.append(f"Changed {one}.")
        elif turn is Due.MEND:
            done.mended[one] = who_changed(found)
        else:
            done.left += [one] if turn is Due.REST else []
            return found
        return await write(self._cluster, document, found)

    async def _taken_secret(self, one: Ref) -> str:
        """Why a KafkaUser is not made: Strimzi would write over a Secret of that name."""
        if one.kind != KAFKA_USER:
            return ""
        strimzi = self._settings
        kafka = await self._cluster.get(Ref(KAFKA, strimzi.cluster, strimzi.namespace))
        secret = Ref(SECRET, secret_of(kafka, one.name), strimzi.namespace)
        found = await self._cluster.get(secret)
        if found is None or (found["metadata"].get("labels") or {}).get(_KIND) == KAFKA_USER.kind:
            return ""
        return (
            f"{secret} is there and not Strimzi's, whose User Operator would write over it; rename "
            "or remove it, or set spec.entityOperator.userOperator.secretPrefix of the Kafka "
            f"{strimzi.cluster!r}."
        )

    # judging

    def _judge_topics(
        self, wanted: Sequence[Topic], in_kafka: Mapping[str, Found], done: _Pass
    ) -> dict[str, str]:
        """Ids of those that are as they are to be: by what Strimzi says, and by what Kafka has."""
        ids = {}
        for topic in wanted:
            one = Ref(KAFKA_TOPIC, topic.name, self._settings.namespace)
            found = in_kafka.get(topic.name)
            sentence = _shrunk(topic, found) if found is not None else ""
            if sentence:
                done.faults[one] = f"{done.faults.get(one, '')} {sentence}".strip()
            if one in done.faults or one in done.awaited:
                continue
            if found is None or topics.drifted(topic, found) or found.partitions < topic.partitions:
                done.awaited[one] = _unlike(one, topic, found)
            else:
                ids[topic.name] = found.id
        return ids

    async def _passwords(
        self, affiliate: str, planned: Mapping[Ref, Document], done: _Pass
    ) -> dict[str, str]:
        """Of the users that are as they are to be: by the Secrets that Strimzi makes of them."""
        users = [
            one
            for one in planned
            if one.kind == KAFKA_USER and one not in done.faults and one not in done.awaited
        ]
        if not users:
            return {}
        with _allowed("list Secrets"):
            secrets = await self._cluster.list(
                SECRET,
                namespace=self._settings.namespace,
                labels=f"{AFFILIATE}={affiliate},{_KIND}={KAFKA_USER.kind}",
            )
        by_user = {user: secret for secret in secrets for user in _owners(secret)}
        passwords = {}
        for one in users:
            password = text_of(by_user[one.name], "password") if one.name in by_user else None
            if password:
                passwords[one.name] = password
            else:
                done.awaited[one] = (
                    f"{one} has no Secret with a password yet; Strimzi's User Operator makes it."
                )
        return passwords

    # ending

    async def _end(self, document: Document, done: _Pass) -> None:
        """What is planned no more: a user goes, a topic stays and is managed no more."""
        if document["kind"] == KAFKA_TOPIC.kind:
            if await self._release(document):
                done.changed.append(f"Let go of {ref(document)}; its topic stays.")
        elif "deletionTimestamp" not in document["metadata"]:
            await self._delete(ref(document))
            done.changed.append(f"Removed {ref(document)}.")

    async def _release(self, document: Document | None) -> bool:
        """
        Whether anything was to be done. What Strimzi was told it still knows when it comes back, so
        that the resource may go though nobody answers.
        """
        if document is None:
            return False
        one = ref(document)
        if not is_let_go(document):
            with _allowed(f"change {KAFKA_TOPIC.plural}"):
                await self._cluster.apply(_let_go(document))
        if "deletionTimestamp" in document["metadata"]:
            return False

        async def seen() -> bool:
            found = await self._cluster.get(one)
            return found is None or is_unmanaged(found)

        await _until(seen)
        found = await self._cluster.get(one)
        if found is not None and is_let_go(found):
            await self._delete(one)
        return True

    async def _until_gone(self, one: Ref) -> None:
        async def gone() -> bool:
            return await self._cluster.get(one) is None

        if not await _until(gone):
            raise Down(
                f"{one} is being deleted, and waits for Strimzi's Topic Operator; see that the "
                f"Topic Operator of the Kafka {self._settings.cluster!r} runs, and that Kafka's "
                "delete.topic.enable is true."
            )

    async def _drop_released(self, names: Sequence[str]) -> None:
        """Those that Strimzi was told before to let go of: nobody else removes them."""
        there = await self._admin.topic_ids(names)
        refusals = await self._admin.delete([*there]) if there else {}
        for name, fault in refusals.items():
            if fault.code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Down(f"Kafka does not remove the topic {name!r}: {str(fault).rstrip('.')}.")

    async def _nobody_logs_in(self, affiliate: str, others: Collection[str]) -> bool:
        """Beside `others`, which somebody else has made under such a name, and keeps."""
        users = await self._admin.passwords(None)
        kept = {*others, self._admin.user}
        return not any(is_of(affiliate, name) and name not in kept for name in users)

    async def _delete(self, one: Ref) -> None:
        with _allowed(f"delete {one.kind.plural}"):
            await self._cluster.delete(one)


def _is_ours(document: Document | None, affiliate: str) -> bool:
    """Whether it is the affiliate's; also where somebody took the label off."""
    if document is None:
        return False
    metadata = document["metadata"]
    whose = (metadata.get("labels") or {}).get(AFFILIATE)
    return whose == affiliate or (whose is None and PLANNED in (metadata.get("annotations") or {}))


def _stranger(found: Document, affiliate: str) -> str:
    return (
        f"{ref(found)} is there and not of affiliate {affiliate!r}; rename or remove it, or label "
        f"it {AFFILIATE}={affiliate} to hand it over."
    )


def _let_go(found: Document) -> Document:
    """
    The same, and its topic stays when it is deleted. Nothing is planned of it: where it is wanted
    again before that, it is written anew, and without this annotation.
    """
    metadata = found["metadata"]
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "labels": metadata.get("labels") or {},
            "annotations": {PLANNED: "", MANAGED: "false"},
        },
        "spec": found["spec"],
    }


def _never_smaller(document: Document, in_kafka: Mapping[str, Found]) -> Document:
    """With as many partitions as the topic has: Kafka takes none away, and a sentence says so."""
    found = in_kafka.get(document["metadata"]["name"])
    if document["kind"] != KAFKA_TOPIC.kind or found is None:
        return document
    spec = document["spec"]
    return {**document, "spec": {**spec, "partitions": max(spec["partitions"], found.partitions)}}


def _shrunk(topic: Topic, found: Found) -> str:
    """Of replicas Strimzi itself says what it cannot do."""
    as_many = replace(found, replicas=(topic.replicas, topic.replicas))
    return " ".join(topics.faults(topic, as_many))


def _unlike(one: Ref, topic: Topic, found: Found | None) -> str:
    """What Strimzi has said of a topic, and Kafka does not show."""
    if found is None:
        what = "Kafka has no such topic"
    elif found.partitions < topic.partitions:
        what = f"Kafka has {found.partitions} partitions of it"
    else:
        name = min(topics.drifted(topic, found))
        what = f"Kafka has {name}={found.config.get(name)} and not {topic.config[name]}"
    return (
        f"{one} is Ready, and {what}; Strimzi's Topic Operator mends it with its next full pass "
        "(every two minutes)."
    )


def _owners(secret: Document) -> Iterator[str]:
    for one in secret["metadata"].get("ownerReferences", []):
        if one["kind"] == KAFKA_USER.kind:
            yield one["name"]


def _by_item(sentences: Mapping[Ref, str]) -> dict[Item, str]:
    return {
        Item("topic" if one.kind == KAFKA_TOPIC else "user", one.name): sentence
        for one, sentence in sentences.items()
    }


@contextmanager
def _allowed(what: str) -> Iterator[None]:
    try:
        yield
    except Denied as why:
        raise Down(f"The operator may not {what}: {why}; grant it that.") from None


async def _until(holds: Callable[[], Awaitable[bool]]) -> bool:
    return await comes_to_hold(holds, within_s=_SEEN_S, every_s=_LOOK_S)
