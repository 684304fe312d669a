"""
The requests to a broker that `wire.py` sends, as Kafka's protocol lays them out, and what the
answers say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
    DescribeClientQuotasRequest_v0,
)
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

from trackmate_operator.kafka.rights import Acl

Entity = tuple[tuple[str, str | None], ...]
"""Whom a quota is for: types and names, as in (("user", "acme-ingest"),); None is the default."""
Quota = Mapping[str, float]
"""Values by Kafka's names."""
SCRAM_SHA_512 = 2
RESOURCE_NOT_FOUND = 91

_ANY, _NONE = 1, 0
_EXACTLY, _ANYBODY = 0, 2
_TEXT, _SHORT = String("utf-8"), CompactString("utf-8")


class Refused(Exception):  # noqa: N818 - what the broker did
    """The broker does not do it; its number for why, and its words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class _ScramAnswer(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 50, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _SHORT),
        (
            "results",
            CompactArray(
                ("user", _SHORT),
                ("error_code", Int16),
                ("error_message", _SHORT),
                (
                    "credential_infos",
                    CompactArray(
                        ("mechanism", Int8), ("iterations", Int32), ("tags", TaggedFields)
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Scram(RequestStruct):  # type: ignore[misc]
    """DescribeUserScramCredentials."""

    API_KEY, API_VERSION = 50, 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ScramAnswer
    SCHEMA = Schema(
        ("users", CompactArray(("name", _SHORT), ("tags", TaggedFields))), ("tags", TaggedFields)
    )


class _QuotasAnswer(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 49, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("entity", Array(("entity_type", _TEXT), ("entity_name", _TEXT))),
            ),
        ),
    )


class _Quotas(RequestStruct):  # type: ignore[misc]
    """AlterClientQuotas."""

    API_KEY, API_VERSION = 49, 0
    RESPONSE_TYPE = _QuotasAnswer
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", _TEXT), ("entity_name", _TEXT))),
                ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


def ask_acls(principal: str | None) -> Any:
    """Of one principal, or of all."""
    return DescribeAclsRequest_v1(_ANY, None, _ANY, principal, None, _ANY, _ANY)


def read_acls(answer: Any) -> set[Acl]:
    _check(answer.error_code, answer.error_message)
    return {
        Acl(kind, name, pattern, principal, host, operation, permission)
        for kind, name, pattern, entries in answer.resources
        for principal, host, operation, permission in entries
    }


def make_acls(acls: Iterable[Acl]) -> Any:
    return CreateAclsRequest_v1([*acls])


def read_made(answer: Any) -> None:
    for code, words in answer.creation_responses:
        _check(code, words)


def drop_acls(acls: Iterable[Acl]) -> Any:
    """Exactly these: each as a filter that only itself passes."""
    return DeleteAclsRequest_v1([*acls])


def read_dropped(answer: Any) -> None:
    for code, words, matching in answer.filter_responses:
        _check(code, words)
        for one in matching:
            _check(one[0], one[1])


def ask_scram(users: Sequence[str] | None) -> Any:
    """Of these users, or of all."""
    return _Scram(None if users is None else [(user, {}) for user in users], {})


def read_scram(answer: Any) -> dict[str, dict[int, int]]:
    """Iterations by mechanism, by user; of those that are there."""
    _check(answer.error_code, answer.error_message)
    found = {}
    for user, code, words, credentials, _ in answer.results:
        if code != RESOURCE_NOT_FOUND:
            _check(code, words)
            found[user] = {mechanism: times for mechanism, times, _ in credentials}
    return found


def ask_quotas(user: str | None) -> Any:
    """Of one user, or of all; also those of the user's clients alone."""
    match = (_ANYBODY, None) if user is None else (_EXACTLY, user)
    return DescribeClientQuotasRequest_v0([("user", *match)], False)  # noqa: FBT003 - not strictly


def read_quotas(answer: Any) -> dict[Entity, dict[str, float]]:
    _check(answer.error_code, answer.error_message)
    return {
        tuple(sorted((kind, name) for kind, name in entity)): dict(values)
        for entity, values in answer.entries or ()
    }


def set_quotas(changes: Mapping[Entity, Mapping[str, float | None]]) -> Any:
    """None takes a value away."""
    return _Quotas([*_entries(changes)], False)  # noqa: FBT003 - not only to validate


def _entries(changes: Mapping[Entity, Mapping[str, float | None]]) -> Iterator[Any]:
    for entity, values in changes.items():
        yield [*entity], [(key, value or 0.0, value is None) for key, value in values.items()]


def read_set(answer: Any) -> None:
    for code, words, _ in answer.entries:
        _check(code, words)


def _check(code: int, words: str | None) -> None:
    if code != _NONE:
        raise Refused(code, words or "")
