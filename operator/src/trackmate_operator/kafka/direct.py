"""
Topics and users made by the operator itself, on any Kafka from 3.5 on.

Of a user first the limits are made, then the password, then the rights; they are taken away in
reverse. So whatever a crash leaves can be found, and a user that can log in has its limits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError

from trackmate_operator.backend import Down, Item, Kept
from trackmate_operator.kafka import topics
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.messages import SCRAM_SHA_512, Entity, Refused
from trackmate_operator.kafka.passwords import iterations, password
from trackmate_operator.kafka.rights import Acl, is_of, user_of, wanted_acls
from trackmate_operator.kafka.seeing import comes_to_hold
from trackmate_operator.kafka.topics import Found
from trackmate_operator.plan.kafka import Topic, User, Wanted

_SEEN_S = 10.0  # how long what was changed may take to be seen
_LOOK_S = 0.05
_LISTED_S = 60.0
_GENERATION = 1
_PRODUCE, _CONSUME = "producer_byte_rate", "consumer_byte_rate"


@dataclass
class _Said:
    """What a pass has to tell."""

    faults: dict[Item, str] = field(default_factory=dict)
    awaited: dict[Item, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Held:
    """What Kafka has of one user."""

    passwords: Mapping[int, int]
    acls: frozenset[Acl]
    quotas: Mapping[Entity, Mapping[str, float]]


@dataclass
class _Changes:
    """What is to be done to several users, in this order."""

    limits: dict[Entity, dict[str, float | None]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    others: list[tuple[str, int]] = field(default_factory=list)
    """Passwords by another mechanism than ours, to be taken away."""
    missing: set[Acl] = field(default_factory=set)
    surplus: set[Acl] = field(default_factory=set)
    lines: dict[str, list[str]] = field(default_factory=dict)
    """What to say of it, by the user."""


class Direct:
    """Keeps the contract of `trackmate_operator.backend.Backend`."""

    def __init__(self, admin: Admin, root: bytes) -> None:
        self._admin = admin
        self._root = root
        self._names: set[str] = set()
        self._listed = -_LISTED_S
        self._listing = asyncio.Lock()

    async def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        return await self._admin.topic_ids(names)

    async def keep(
        self, affiliate: str, affiliate_id: str, wanted: Wanted, held: Mapping[str, str]
    ) -> Kept:
        said = _Said()
        users = {user.name for user in wanted.users}
        self._names |= users  # ours to take away, should they be wanted no more
        for name in await self._users_of(affiliate, listed_after=time.monotonic() - _LISTED_S):
            if name not in users:
                await self._remove(name, said)
        ids = await self._keep_topics(wanted.topics, said)
        secrets = {
            name: password(self._root, affiliate_id, name, _GENERATION) for name in sorted(users)
        }
        await self._keep_users(wanted.users, secrets, held, said)
        unready = {*said.faults, *said.awaited}
        return Kept(
            {name: found for name, found in ids.items() if Item("topic", name) not in unready},
            {name: secret for name, secret in secrets.items() if Item("user", name) not in unready},
            said.faults,
            said.awaited,
            said.changed,
        )

    async def revoke(self, affiliate: str) -> None:
        for name in await self._users_of(affiliate, listed_after=time.monotonic()):
            await self._remove(name, _Said())

    async def release(self, affiliate: str, topics: Sequence[str]) -> None:
        """Nothing here knows of them."""

    async def drop(self, affiliate: str, topics: Sequence[str]) -> None:
        """The next affiliate of this name is not to find what ends here."""
        there = await self._admin.topic_ids(topics)
        refusals = await self._admin.delete([*there]) if there else {}
        for name, fault in refusals.items():
            if fault.code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Down(_refusal("remove the topic", name, fault))

        async def gone() -> bool:
            nonlocal there
            there = await self._admin.topic_ids(topics)
            return not there

        if there and not await _until(gone):
            raise Down(f"Kafka has removed {', '.join(map(repr, there))}, and shows them yet.")

    # topics

    async def _keep_topics(self, wanted: Sequence[Topic], said: _Said) -> dict[str, str]:
        """Ids of all that are there."""
        names = [one.name for one in wanted]
        found = await self._admin.topics(names)
        steps = [step for step in _steps(wanted, found) if step.what]
        refusals: dict[str, str] = {}
        for step in steps:
            refused = await step.take(self._admin)
            refusals |= {
                name: _refusal(step.verb, name, why)
                for name, why in refused.items()
                if why.code != KafkaError.TOPIC_ALREADY_EXISTS  # it is to be seen soon
            }
            said.changed += [line for name, line in step.lines.items() if name not in refused]
        if steps:

            async def seen() -> bool:
                found.update(await self._admin.topics(names))
                done = (_is_done(one, found.get(one.name)) for one in wanted)
                return all(is_ or name in refusals for is_, name in zip(done, names, strict=True))

            await _until(seen)
        for one in wanted:
            self._judge(one, found.get(one.name), refusals.get(one.name), said)
        return {name: there.id for name, there in found.items()}

    def _judge(self, wanted: Topic, found: Found | None, refusal: str | None, said: _Said) -> None:
        """A refusal of what is done nevertheless says nothing: it was done twice."""
        done = _is_done(wanted, found)
        sentences = [*topics.faults(wanted, found)] if found is not None else []
        sentences += [refusal] if refusal and not done else []
        if sentences:
            said.faults[Item("topic", wanted.name)] = " ".join(sentences)
        elif not done:
            said.awaited[Item("topic", wanted.name)] = (
                f"Kafka does not show the topic {wanted.name!r} as it is to be yet; one of that "
                "name may still be being deleted."
            )

    # users

    async def _keep_users(
        self,
        users: Sequence[User],
        secrets: Mapping[str, str],
        held: Mapping[str, str],
        said: _Said,
    ) -> None:
        before = await self._all_held([*secrets])
        stale = {name for name, secret in secrets.items() if held.get(name) != secret}
        changes = _changes(users, secrets, before, stale)
        if not changes.lines:
            return
        try:
            await self._change(changes)
        except Refused as fault:
            for name in changes.lines:
                said.faults[Item("user", name)] = _refusal("make the user", name, fault)
            return
        said.changed += [line for lines in changes.lines.values() for line in lines]
        late: list[str] = []

        async def seen() -> bool:
            now = await self._all_held([*changes.lines])
            ours = [user for user in users if user.name in now]
            late[:] = _changes(ours, secrets, now, set()).lines
            return not late

        if not await _until(seen):
            for name in late:
                said.awaited[Item("user", name)] = (
                    f"Kafka has taken what the user {name!r} is to be, and does not show it yet."
                )

    async def _change(self, changes: _Changes) -> None:
        if changes.limits:
            await self._admin.limit(changes.limits)
        if changes.passwords:
            await self._admin.set_passwords(changes.passwords)
        for name, mechanism in changes.others:
            await self._admin.drop_password(name, mechanism)
        if changes.missing:
            await self._admin.allow(sorted(changes.missing))
        if changes.surplus:
            await self._admin.disallow(sorted(changes.surplus))

    async def _remove(self, name: str, said: _Said) -> None:
        held = await self._held(name)
        if held != _NOTHING:
            try:
                await self._take_away(name, held)
            except Refused as fault:
                raise Down(_refusal("take away the user", name, fault)) from None
            said.changed.append(f"Took the user {name!r} away.")

            async def gone() -> bool:
                return await self._held(name) == _NOTHING

            if not await _until(gone):
                return  # it stays in the list, and is looked at again
        self._names.discard(name)

    async def _take_away(self, name: str, held: _Held) -> None:
        if held.acls:
            await self._admin.disallow(sorted(held.acls))
        for mechanism in sorted(held.passwords):
            await self._admin.drop_password(name, mechanism)
        if held.quotas:
            await self._admin.limit(_all_taken(held.quotas))

    async def _held(self, name: str) -> _Held:
        return (await self._all_held([name]))[name]

    async def _all_held(self, names: Sequence[str]) -> dict[str, _Held]:
        passwords = await self._admin.passwords(names)
        return {
            name: _Held(
                passwords.get(name, {}),
                frozenset(await self._admin.acls(name)),
                await self._admin.quotas(name),
            )
            for name in names
        }

    async def _users_of(self, affiliate: str, *, listed_after: float) -> list[str]:
        """Those that Kafka knows of, by a list that is not older."""
        async with self._listing:
            if self._listed < listed_after:
                now = time.monotonic()
                self._names |= await self._all_names()
                self._listed = now
        return sorted(
            name for name in self._names if is_of(affiliate, name) and name != self._admin.user
        )

    async def _all_names(self) -> set[str]:
        names = {*await self._admin.passwords(None)}
        names |= {user_of(acl) for acl in await self._admin.acls(None)}
        quotas = await self._admin.quotas(None)
        names |= {name for entity in quotas for kind, name in entity if kind == "user" and name}
        return names


@dataclass(frozen=True)
class _Step:
    """One request about topics."""

    verb: str
    what: Mapping[str, Any]
    """By the names of the topics."""
    lines: Mapping[str, str]
    """What to say of each that was done."""
    take: Callable[[Admin], Awaitable[Mapping[str, Refused]]]


def _steps(wanted: Sequence[Topic], found: Mapping[str, Found]) -> Iterator[_Step]:
    missing = {one.name: one for one in wanted if one.name not in found}
    yield _Step(
        "make the topic",
        missing,
        {name: f"Made the topic {name!r}." for name in missing},
        lambda admin: admin.create([*missing.values()]),
    )
    there = [(one, found[one.name]) for one in wanted if one.name in found]
    small = {one.name: one.partitions for one, is_ in there if is_.partitions < one.partitions}
    yield _Step(
        "add partitions to the topic",
        small,
        {
            name: f"Gave the topic {name!r} {number} partitions, from {found[name].partitions}."
            for name, number in small.items()
        },
        lambda admin: admin.grow(small),
    )
    drifts = {one.name: drift for one, is_ in there if (drift := topics.drifted(one, is_))}
    yield _Step(
        "configure the topic",
        drifts,
        {name: _drift(name, drift, found[name].config) for name, drift in drifts.items()},
        lambda admin: admin.configure(drifts),
    )


def _drift(name: str, drift: Mapping[str, str], found: Mapping[str, str]) -> str:
    changes = ", ".join(
        f"{key}={value} (it was {found.get(key)})" for key, value in sorted(drift.items())
    )
    return f"Configured the topic {name!r}: {changes}."


def _refusal(verb: str, name: str, fault: Refused) -> str:
    return f"Kafka does not {verb} {name!r}: {str(fault).rstrip('.')}."


_NOTHING = _Held({}, frozenset(), {})


def _is_done(wanted: Topic, found: Found | None) -> bool:
    """Whether all that can be done to it is done."""
    return (
        found is not None
        and found.partitions >= wanted.partitions
        and not topics.drifted(wanted, found)
    )


def _changes(
    users: Sequence[User],
    secrets: Mapping[str, str],
    held: Mapping[str, _Held],
    stale: Collection[str],
) -> _Changes:
    """`stale` are the users whose Secret has another password."""
    found = _Changes()
    for user in users:
        name, there = user.name, held[user.name]
        lines = []
        limits = _limit_changes(user, there.quotas)
        if limits:
            found.limits |= limits
            lines.append(f"Set the quotas of the user {name!r}.")
        secret = secrets[name]
        if name in stale or there.passwords.get(SCRAM_SHA_512) != iterations(secret):
            found.passwords[name] = secret
            lines.append(
                f"{'Set the password of' if there.passwords else 'Made'} the user {name!r}."
            )
        others = sorted({*there.passwords} - {SCRAM_SHA_512})
        if others:
            found.others += [(name, mechanism) for mechanism in others]
            lines.append(f"Took another password of the user {name!r} away.")
        wanted = wanted_acls(user)
        missing, surplus = wanted - there.acls, there.acls - wanted
        if missing:
            found.missing |= missing
            lines.append(f"Gave the user {name!r} {len(missing)} rights.")
        if surplus:
            found.surplus |= surplus
            lines.append(f"Took {len(surplus)} rights of {name!r} away.")
        if lines:
            found.lines[name] = lines
    return found


def _limit_changes(
    user: User, found: Mapping[Entity, Mapping[str, float]]
) -> dict[Entity, dict[str, float | None]]:
    """Also those of one of its clients go: they would be in force instead of the user's."""
    own: Entity = (("user", user.name),)
    there = found.get(own, {})
    wanted = {_PRODUCE: user.produce_bytes, _CONSUME: user.consume_bytes}
    changes = _all_taken({entity: values for entity, values in found.items() if entity != own})
    differing = {key: value for key, value in wanted.items() if there.get(key) != value}
    return {**changes, **({own: {**differing}} if differing else {})}


def _all_taken(
    found: Mapping[Entity, Mapping[str, float]],
) -> dict[Entity, dict[str, float | None]]:
    return {entity: dict.fromkeys(values) for entity, values in found.items()}


async def _until(holds: Callable[[], Awaitable[bool]]) -> bool:
    return await comes_to_hold(holds, within_s=_SEEN_S, every_s=_LOOK_S)
