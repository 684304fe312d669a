"""
The leaves of the specs: every form of text, and the sizes, durations and times between bounds.

A leaf says at once how it is read and what its JSON schema is. The CRDs are written by hand, and a
test holds them to these schemas; what no schema can say (a duration's bounds) stands in the
descriptions there, under the same test.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StrictBool, StrictInt
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function

from .names import NAME, NAME_LENGTH
from .quantity import DURATION, SIZE, TIME, instant, octets, quoted, seconds

_LINE = r"^[^\x00-\x1f\x7f]+$"
_PROGRAM = r"^[^\x00]*[^\x00\t\n\r ][^\x00]*$"
_START = f"^(earliest|latest|{TIME[1:-1]})$"


@dataclass(frozen=True, eq=False)
class Leaf:
    """How a single value is read (a ValueError has the value and the cure), and its schema."""

    read: Callable[[object], object]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def text(what: str, form: str, *, pattern: str, longest: int, secret: bool = False) -> Leaf:
    """Text that is `what` when it has this `form`. A secret one is not repeated in messages."""

    def read(value: object) -> str:
        shown = "what is there" if secret else quoted(value)
        if not isinstance(value, str):
            raise ValueError(f"{shown} is not text; write {what} in quotes")  # noqa: TRY004 - pydantic lets a TypeError through
        if len(value) > longest:
            raise ValueError(f"{shown} has {len(value)} characters; write {longest} or fewer")
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown} is not {what}; write {form}")
        return value

    return Leaf(read, {"type": "string", "pattern": pattern, "maxLength": longest})


def duration(least: str, most: str) -> Leaf:
    """A duration, in seconds."""
    schema = {"type": "string", "pattern": DURATION, "maxLength": 10}
    return Leaf(
        _between(seconds, least, most, outside=("too short", "too long")),
        {**schema, "x-range": f"From {least} to {most}."},
    )


def size(least: str, most: str) -> Leaf:
    """A Kubernetes quantity, in bytes."""
    schema = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": SIZE,
        "maxLength": 20,
        "minimum": octets(least),
        "maximum": octets(most),
    }
    return Leaf(
        _between(octets, least, most, outside=("too small", "too large")),
        {**schema, "x-range": f"From {least} to {most}."},
    )


def _between(
    read: Callable[[object], int], least: str, most: str, *, outside: tuple[str, str]
) -> Callable[[object], int]:
    lowest, highest = read(least), read(most)
    below, above = outside

    def bounded(value: object) -> int:
        amount = read(value)
        if amount < lowest:
            raise ValueError(f"{value!r} is {below}; write {least} or more")
        if amount > highest:
            raise ValueError(f"{value!r} is {above}; write {most} or less")
        return amount

    return bounded


Name = Annotated[
    str,
    text(
        "a name",
        "lower-case letters, digits and '-', a letter first and no '-' last, like 'web-events'",
        pattern=NAME,
        longest=NAME_LENGTH,
    ),
]

Namespace = Annotated[
    str,
    text(
        "a namespace",
        "lower-case letters, digits and '-', like 'trackmate-acme'",
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        longest=63,
    ),
]

SecretName = Annotated[
    str,
    text(
        "the name of a Secret",
        "lower-case letters, digits, '-' and '.', like 'crm'",
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        longest=253,
    ),
]

SecretKey = Annotated[
    str,
    text(
        "a key of a Secret",
        "letters, digits, '-', '_' and '.', like 'token'",
        pattern=r"^[a-zA-Z0-9._-]+$",
        longest=253,
    ),
]

Time = Annotated[datetime, Leaf(instant, {"type": "string", "pattern": TIME, "maxLength": 40})]


def _start(value: object) -> object:
    if value in ("earliest", "latest"):
        return value
    try:
        return instant(value)
    except ValueError:
        raise ValueError(
            f"{quoted(value)} is not a start; write earliest, latest or a time with its zone, "
            "like '2026-11-01T00:00:00Z'"
        ) from None


Whole = StrictInt
Flag = StrictBool
Replicas = Annotated[Whole, Field(ge=1, le=500)]
RequestRate = Annotated[Whole, Field(ge=1, le=1_000_000)]
ByteRate = Annotated[int, size("1Ki", "10Gi")]

EventField = Annotated[
    str,
    text(
        "a field of the event's top level",
        "letters, digits, '_', '-', '$' and '@', like 'userId'",
        pattern=r"^[A-Za-z_$@][A-Za-z0-9_$@-]*$",
        longest=64,
    ),
]

Host = Annotated[
    str,
    text(
        "a DNS name",
        "it in lower case without scheme and port, like 'acme.track.example.com'",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        longest=253,
    ),
]

Origin = Annotated[
    str,
    text(
        "an origin",
        "a scheme and a host in lower case, with nothing behind, like 'https://www.acme.example'",
        pattern=r"^[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$",
        longest=270,
    ),
]

BusinessId = Annotated[
    str,
    text(
        "an ID",
        "letters, digits, '-', '_' and '.', with a letter or digit at both ends, like 'af-1042'",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        longest=63,
    ),
]

Title = Annotated[
    str,
    text(
        "a line of text",
        "it without line breaks and other control characters",
        pattern=_LINE,
        longest=100,
    ),
]

SubjectName = Annotated[
    str,
    text(
        "the name of a subject",
        "the group, user or service account as Kubernetes knows it, like 'acme-analysts'",
        pattern=_LINE,
        longest=253,
    ),
]

Filter = Annotated[
    str,
    text("a CEL expression", "one that is not empty", pattern=_PROGRAM, longest=4_096),
]

Jq = Annotated[
    str,
    text("a jq program", "one that is not empty", pattern=_PROGRAM, longest=16_384),
]

Url = Annotated[
    str,
    text(
        "an http URL",
        "it without credentials and fragment, like 'https://crm.acme.example/hooks'",
        pattern=r'^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?([/?][!"$-~]*)?$',
        longest=2_048,
    ),
]

HeaderName = Annotated[
    str,
    text(
        "the name of a header",
        "letters, digits and '-', like 'x-api-key'",
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        longest=128,
    ),
]

HeaderValue = Annotated[
    str,
    text(
        "the value of a header",
        "printable ASCII without spaces at the ends",
        pattern=r"^[!-~]([\t -~]*[!-~])?$",
        longest=8_192,
        secret=True,
    ),
]

Table = Annotated[
    str,
    text(
        "a table",
        "lower-case letters, digits and '_', with a schema or without, like 'web.events'",
        pattern=r"^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$",
        longest=127,
    ),
]

KafkaServers = Annotated[
    str,
    text(
        "a list of Kafka servers",
        "host:port, with commas between, like 'a.example:9093,b.example:9093'",
        pattern=r"^[A-Za-z0-9._-]+:[1-9][0-9]{0,4}(,[A-Za-z0-9._-]+:[1-9][0-9]{0,4})*$",
        longest=1_024,
    ),
]

KafkaTopic = Annotated[
    str,
    text(
        "a topic",
        "letters, digits, '.', '_' and '-', like 'bookings'",
        pattern=r"^[a-zA-Z0-9._-]+$",
        longest=249,
    ),
]

Folder = Annotated[
    str,
    text(
        "a folder",
        "a path without control characters, like '/data/out'",
        pattern=_LINE,
        longest=1_024,
    ),
]

File = Annotated[
    str,
    text(
        "a file",
        "its path without control characters, like '/etc/trackmate/keys/keys.json'",
        pattern=_LINE,
        longest=1_024,
    ),
]

Collection = Annotated[
    str,
    text(
        "a collection",
        "letters, digits, '_' and '-', a letter or digit first, like 'bookings'",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        longest=100,
    ),
]

Start = Annotated[
    Literal["earliest", "latest"] | datetime,
    Leaf(_start, {"type": "string", "pattern": _START, "maxLength": 40}),
]
