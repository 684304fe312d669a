"""
The few members that ingest reads of an event: what gives its id, what decides its partition.

They are read in two ways with one result: with msgspec, which decodes nothing else, and from what
`scanning` decodes, for the events that msgspec refuses.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from trackmate_ingest.scanning import scan

ABSENT = Raw(b"null")

_NUMBER_STARTS = frozenset([b"-", *(b"%d" % digit for digit in range(10))])
_STRING = msgspec.json.Decoder(str | None)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Fields:
    """Reads the id and the key of one stream's events: of duplicate members the last."""

    def __init__(self, id_from: str, partition_by: Sequence[str]) -> None:
        self._id_from = id_from
        self._partition_by = tuple(partition_by)
        names = tuple(dict.fromkeys((id_from, *partition_by)))
        self._words = _decoder_of(names, str | None)
        self._raw = _decoder_of(names, Raw)
        self._attributes = [f"member{names.index(name)}" for name in partition_by]

    def read(self, event: bytes) -> tuple[str | None, str | None]:
        """The id and the key; an error of msgspec where it cannot tell."""
        try:
            members = self._words.decode(event)
        except msgspec.ValidationError:
            return self._read_any(event)
        for attribute in self._attributes:
            key = getattr(members, attribute)
            if key:
                return members.member0 or None, key
        return members.member0 or None, None

    def _read_any(self, event: bytes) -> tuple[str | None, str | None]:
        """The same of an event that has something else than a string in their place."""
        members = self._raw.decode(event)
        event_id = string(members.member0)
        for attribute in self._attributes:
            key = _word(getattr(members, attribute))
            if key:
                return event_id, key
        return event_id, None

    def read_exactly(self, event: bytes) -> tuple[str | None, str | None]:
        """The id and the key of any JSON text; one that is no object has neither."""
        members, _ = scan(event.decode(), 0)
        if not isinstance(members, dict):
            return None, None
        keys = (_decoded_word(members.get(name)) for name in self._partition_by)
        return decoded_string(members.get(self._id_from)), next(filter(None, keys), None)


def string(raw: Raw) -> str | None:
    """The string that a member is, unless it is empty."""
    try:
        return _STRING.decode(raw) or None
    except msgspec.ValidationError:
        return None


def decoded_string(value: object) -> str | None:
    """The same of a decoded member. No header could carry a lone surrogate: it becomes U+FFFD."""
    return _LONE_SURROGATE.sub("\ufffd", value) or None if isinstance(value, str) else None


def _word(raw: Raw) -> str | None:
    """A string, or a number as it is written."""
    try:
        return _STRING.decode(raw) or None
    except msgspec.ValidationError:
        text = bytes(raw)
        return text.decode() if text[:1] in _NUMBER_STARTS else None


def _decoded_word(value: object) -> str | None:
    return value.decode() if isinstance(value, bytes) else decoded_string(value)


@cache
def _decoder_of(names: tuple[str, ...], kind: Any) -> msgspec.json.Decoder[Any]:
    """Decodes nothing but these members: `member0`, `member1` and so on."""
    absent = ABSENT if kind is Raw else None
    members = [
        (f"member{place}", kind, msgspec.field(name=name, default=absent))
        for place, name in enumerate(names)
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Members", members, gc=False))
