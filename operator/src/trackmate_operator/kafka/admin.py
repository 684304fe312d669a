"""
What the operator asks of Kafka, one method a request. Whatever keeps Kafka from answering, or the
operator from asking, is raised as Down: a sentence with its cure.

Topics go by librdkafka's AdminClient. Of the users it only writes passwords: see `wire.py`. Its
futures are never wrapped or cancelled, it gets no logger (it would call it where Python cannot be
called), and it is kept referenced while it works.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import aiokafka.errors
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from trackmate_operator.backend import Down
from trackmate_operator.kafka import messages
from trackmate_operator.kafka.messages import Entity, Refused
from trackmate_operator.kafka.passwords import iterations
from trackmate_operator.kafka.rights import Acl, principal
from trackmate_operator.kafka.topics import Found
from trackmate_operator.kafka.wire import Wire
from trackmate_operator.plan.kafka import Topic
from trackmate_programs.kafka_access import Access
from trackmate_programs.kafka_reach import FINAL, refused, unreached
from trackmate_programs.kafka_topic_ids import url_safe

_ASKED_S = 10.0
_TOLD_S = 0.2  # between two looks at what librdkafka complains of
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_LATER = frozenset(  # of the broker, which does as asked once it has found its feet
    {
        KafkaError.UNKNOWN,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)
_SLOW_S = 1.0  # after which it is looked whether brokers can be reached at all
_CLUSTER = "on the cluster"
_ALL_TOPICS = "on all topics"


class Admin:
    """
    Asks as the operator's own user. Every method raises Down; those that say so raise Refused, or
    return it by topic, where Kafka does not do this one thing. To be closed.
    """

    def __init__(self, access: Access) -> None:
        self._complaints: deque[tuple[float, KafkaError]] = deque(maxlen=50)
        self._open(access)

    def _open(self, access: Access) -> None:
        self._access = access
        settings: dict[str, Any] = {
            **access.client,
            "log_level": 0,
            "error_cb": self._complain,
            "allow.auto.create.topics": "false",
        }
        self._client = AdminClient(settings)
        self._wire = Wire(access)

    def _complain(self, error: KafkaError) -> None:
        self._complaints.append((time.monotonic(), error))

    def renew(self, access: Access) -> None:
        """Go on with these settings. What is being asked with the old ones may end in Down."""
        if access != self._access:
            self._wire.close()
            self._open(access)

    async def close(self) -> None:
        await self._wire.closed()

    @property
    def settings(self) -> Mapping[str, str]:
        """Of librdkafka, for another client; with the password."""
        return self._access.client

    @property
    def user(self) -> str:
        """The operator's own; "" where it has none."""
        return self._access.login[0] if self._access.login else ""

    async def cluster_id(self) -> str:
        with self._allowed("Describe", _CLUSTER):
            found = await self._answer(self._client.describe_cluster(request_timeout=_ASKED_S))
        return str(found.cluster_id)

    # topics

    async def topics(self, names: Sequence[str]) -> dict[str, Found]:
        """Those that are there."""
        described = await self._described(names)
        with self._allowed("DescribeConfigs", _ALL_TOPICS):
            config = await self._config([*described])
        return {name: _found(described[name], config[name]) for name in config}

    async def topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        """Kafka's ids of those that are there."""
        described = await self._described(names)
        return {name: url_safe(str(found.topic_id)) for name, found in described.items()}

    async def _described(self, names: Sequence[str]) -> dict[str, Any]:
        if not names:
            return {}
        topics = TopicCollection([*dict.fromkeys(names)])
        asked = self._client.describe_topics(topics, request_timeout=_ASKED_S)
        with self._allowed("Describe", _ALL_TOPICS):
            return await self._answers(asked, missing=KafkaError.UNKNOWN_TOPIC_OR_PART)

    async def _config(self, names: Sequence[str]) -> dict[str, Any]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        asked = self._client.describe_configs(resources, request_timeout=_ASKED_S)
        by_name = {resource.name: future for resource, future in asked.items()}
        return await self._answers(by_name, missing=KafkaError.UNKNOWN_TOPIC_OR_PART)

    async def create(self, topics: Sequence[Topic]) -> dict[str, Refused]:
        """Make these; those that Kafka refuses, by their names."""
        new = [
            NewTopic(one.name, one.partitions, one.replicas, config=dict(one.config))
            for one in topics
        ]
        asked = self._client.create_topics(new, request_timeout=_ASKED_S)
        return await self._refusals(asked, "Create")

    async def grow(self, partitions: Mapping[str, int]) -> dict[str, Refused]:
        """Give these topics so many partitions; those that Kafka refuses, by their names."""
        new = [NewPartitions(name, number) for name, number in partitions.items()]
        asked = self._client.create_partitions(new, request_timeout=_ASKED_S)
        return await self._refusals(asked, "Alter")

    async def configure(self, config: Mapping[str, Mapping[str, str]]) -> dict[str, Refused]:
        """Set these settings of topics and no others; what Kafka refuses, by the topic's name."""
        resources = [
            ConfigResource(
                ResourceType.TOPIC,
                name,
                incremental_configs=[
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in values.items()
                ],
            )
            for name, values in config.items()
        ]
        asked = self._client.incremental_alter_configs(resources, request_timeout=_ASKED_S)
        by_name = {resource.name: future for resource, future in asked.items()}
        return await self._refusals(by_name, "AlterConfigs")

    async def delete(self, names: Sequence[str]) -> dict[str, Refused]:
        """Remove topics with their data; those that Kafka refuses, by their names."""
        asked = self._client.delete_topics([*names], request_timeout=_ASKED_S)
        return await self._refusals(asked, "Delete")

    # users

    async def passwords(self, users: Sequence[str] | None) -> dict[str, dict[int, int]]:
        """Of these users, or of all, those that have one: iterations by mechanism."""
        if users is None:  # a broker that would refuse this never answers it; this it does
            await self.passwords([self.user or "nobody"])
        answer = await self._ask(messages.ask_scram(users))
        with self._allowed("Describe", _CLUSTER):
            return messages.read_scram(answer)

    async def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Make these users, or give them other passwords. Raises Refused."""
        await self._change_passwords(
            UserScramCredentialUpsertion(
                user,
                ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations(password)),
                password.encode(),
            )
            for user, password in passwords.items()
        )

    async def drop_password(self, user: str, mechanism: int) -> None:
        """It can log in no more by this mechanism; gone already is fine. Raises Refused."""
        try:
            await self._change_passwords(
                [UserScramCredentialDeletion(user, ScramMechanism(mechanism))]
            )
        except Refused as fault:
            if fault.code != messages.RESOURCE_NOT_FOUND:
                raise

    async def _change_passwords(self, changes: Iterable[Any]) -> None:
        asked = self._client.alter_user_scram_credentials([*changes], request_timeout=_ASKED_S)
        with self._allowed("Alter", _CLUSTER):
            await self._answers(asked)

    async def acls(self, user: str | None) -> set[Acl]:
        """Of one user, or of all."""
        answer = await self._ask(messages.ask_acls(None if user is None else principal(user)))
        with self._allowed("Describe", _CLUSTER):
            return messages.read_acls(answer)

    async def allow(self, acls: Iterable[Acl]) -> None:
        """Raises Refused."""
        answer = await self._ask(messages.make_acls(acls))
        with self._allowed("Alter", _CLUSTER):
            messages.read_made(answer)

    async def disallow(self, acls: Iterable[Acl]) -> None:
        """Take exactly these away. Raises Refused."""
        answer = await self._ask(messages.drop_acls(acls))
        with self._allowed("Alter", _CLUSTER):
            messages.read_dropped(answer)

    async def quotas(self, user: str | None) -> dict[Entity, dict[str, float]]:
        """Of one user, or of all."""
        answer = await self._ask(messages.ask_quotas(user))
        with self._allowed("DescribeConfigs", _CLUSTER):
            return messages.read_quotas(answer)

    async def limit(self, changes: Mapping[Entity, Mapping[str, float | None]]) -> None:
        """Set these values and no others; None takes one away. Raises Refused."""
        answer = await self._ask(messages.set_quotas(changes))
        with self._allowed("AlterConfigs", _CLUSTER):
            messages.read_set(answer)

    # asking

    async def _ask(self, request: Any) -> Any:
        since = time.monotonic()
        try:
            return await self._wire.ask(request)
        except aiokafka.errors.SaslAuthenticationFailed:
            self._complain(KafkaError(KafkaError._AUTHENTICATION))  # noqa: SLF001 - no other name
            raise await self.down(since, "") from None
        except (OSError, TimeoutError, aiokafka.errors.KafkaError) as fault:
            raise await self.down(since, str(fault)) from None

    async def _answers(
        self, asked: Mapping[str, Future[Any]], *, missing: int | None = None
    ) -> dict[str, Any]:
        found = {}
        for name, future in asked.items():
            try:
                found[name] = await self._answer(future)
            except Refused as fault:
                if fault.code != missing:
                    raise
        return found

    async def _refusals(self, asked: Mapping[str, Future[Any]], right: str) -> dict[str, Refused]:
        found = {}
        for name, future in asked.items():
            try:
                with self._allowed(right, _ALL_TOPICS):
                    await self._answer(future)
            except Refused as fault:
                found[name] = fault
        return found

    async def _answer(self, asked: Future[Any]) -> Any:
        since = time.monotonic()
        await self._wait(asked, since)
        try:
            return asked.result()
        except KafkaException as fault:
            error = fault.args[0]
        if error.code() >= 0 or error.code() == KafkaError._INVALID_ARG:  # noqa: SLF001 - no other name
            raise Refused(error.code(), error.str())
        raise await self.down(since, error.str())

    async def _wait(self, asked: Future[Any], since: float) -> None:
        """Until it is done, or clear that it will not be: librdkafka itself would try on."""
        client, done, loop = self._client, asyncio.Event(), asyncio.get_running_loop()
        asked.add_done_callback(lambda _: _tell(loop, done))
        while not asked.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TOLD_S):
                    await done.wait()
                    return
            client.poll(0)
            if any(one.code() in FINAL for one in self._said(since)):
                raise await self.down(since, "")
            if time.monotonic() > since + _SLOW_S and (away := await self._away()):
                raise Down(away)

    async def _away(self) -> str:
        """Why none of the servers can be reached; "" where one can."""
        kafka = self._access.kafka
        return " ".join(await asyncio.to_thread(lambda: [*unreached(kafka)]))

    def _said(self, since: float) -> list[KafkaError]:
        return [error for at, error in self._complaints if at >= since]

    async def down(self, since: float, words: str) -> Down:
        """Why nothing came of what was asked `since` (monotonic); `words` are Kafka's."""
        said = await self._away() or refused(self._access.kafka, self._said(since))
        return Down(said or f"Kafka does not answer ({words}); see whether its brokers are well.")

    @contextlib.contextmanager
    def _allowed(self, right: str, where: str) -> Iterator[None]:
        try:
            yield
        except Refused as fault:
            if fault.code in _DENIED:
                raise Down(
                    f"Kafka does not let the operator's user {self.user!r} do this; allow it "
                    f"{right} {where}."
                ) from None
            if fault.code in _LATER:
                raise Down(
                    f"Kafka cannot do this now ({fault}); see whether its brokers are well."
                ) from None
            if fault.code == KafkaError.SECURITY_DISABLED:
                raise Down(
                    "Kafka has no authorizer, so that every user may do everything; set "
                    "authorizer.class.name on its brokers and controllers."
                ) from None
            raise


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    """On a thread of librdkafka."""
    with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
        loop.call_soon_threadsafe(done.set)


def _found(description: Any, config: Any) -> Found:
    replicas = [len(one.replicas) for one in description.partitions]
    return Found(
        url_safe(str(description.topic_id)),
        len(replicas),
        (min(replicas), max(replicas)),
        {name: str(entry.value) for name, entry in config.items()},
    )
