"""
What the operator does to a Kafka, watched and cut off from outside, and what is there afterwards.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from kafka_broker import ADMIN, PASSWORD, Cluster
from trackmate_contract.kafka import Kafka
from trackmate_contract.kafka_rights import ingest_rights, pipeline_rights
from trackmate_contract.names import dead_letter_topic, topic
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.direct import Direct
from trackmate_operator.plan.kafka import Topic, User, Wanted, ingest_user, pipeline_user
from trackmate_programs.kafka_access import Access, read_access

ROOT = b"a root secret of thirty-two bytes"
WRITES = frozenset(
    (
        *("create", "grow", "configure", "delete"),
        *("set_passwords", "drop_password", "allow", "disallow", "limit"),
    )
)


def access(cluster: Cluster, folder: Path, user: str = ADMIN, password: str = PASSWORD) -> Access:
    """As the operator's own user."""
    settings: dict[str, Any] = {"bootstrapServers": cluster.bootstrap}
    if cluster.secured:
        path = folder / f"{user}.password"
        path.write_text(password, "utf-8")
        settings["sasl"] = {"username": user, "passwordFile": str(path)}
    if cluster.ca_file is not None:
        settings["tls"] = {"caFile": str(cluster.ca_file)}
    return read_access(Kafka.model_validate(settings), "trackmate-operator")


def wanted(
    affiliate: str,
    streams: Mapping[str, int],
    pipelines: Mapping[str, str],
    *,
    produce_bytes: int | None = 1 << 20,
    **config: str,
) -> Wanted:
    """Streams with their partitions, and pipelines with the stream that each reads."""
    settings = {name.replace("_", "."): value for name, value in config.items()}
    dead = [Topic(dead_letter_topic(affiliate, name), 1, 1, settings) for name in pipelines]
    return Wanted(
        (*(Topic(topic(affiliate, name), n, 1, settings) for name, n in streams.items()), *dead),
        (
            User(
                ingest_user(affiliate),
                ingest_rights(affiliate, [*streams]),
                produce_bytes=produce_bytes,
            ),
            *(
                User(pipeline_user(affiliate, name), pipeline_rights(affiliate, name, [stream]))
                for name, stream in pipelines.items()
            ),
        ),
    )


@dataclass
class Watched:
    """
    An Admin whose writes are counted. After `cut_after` of them the task that writes is ended, as
    by a crash: once the write is done, or right after it was sent.
    """

    admin: Admin
    cut_after: int | None = None
    once_sent: bool = False
    wrote: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.admin, name)
        return self._writing(name, method) if name in WRITES else method

    def _writing(self, name: str, method: Any) -> Any:
        async def write(*arguments: Any) -> Any:
            self.wrote.append(name)
            cut = self.cut_after is not None and len(self.wrote) == self.cut_after
            if cut and self.once_sent:
                writing = asyncio.ensure_future(method(*arguments))
                await asyncio.sleep(0)
                writing.cancel()
                raise asyncio.CancelledError
            done = await method(*arguments)
            if cut:
                raise asyncio.CancelledError
            return done

        return write

    def direct(self) -> Direct:
        """As a process that has just started has it."""
        return Direct(cast("Admin", self), ROOT)


async def standing(admin: Admin, affiliate: str, topics: list[str]) -> dict[str, Any]:
    """All that Kafka has of an affiliate, comparable: users, rights, quotas, topics."""
    begins = (f"{affiliate}-ingest", f"{affiliate}.")
    found = await admin.topics(topics)
    return {
        "passwords": {
            name: one
            for name, one in (await admin.passwords(None)).items()
            if name.startswith(begins)
        },
        "acls": sorted(
            acl for acl in await admin.acls(None) if acl.principal[5:].startswith(begins)
        ),
        "quotas": {
            entity: values
            for entity, values in (await admin.quotas(None)).items()
            if any((name or "").startswith(begins) for _, name in entity)
        },
        "topics": {
            name: (one.partitions, one.replicas, dict(one.config)) for name, one in found.items()
        },
    }
