"""
The write keys of a file, in the form of `trackmate keys list --json`. A name may have several
values: those before the last rotation live on until they expire.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from trackmate_contract.affiliate import Key, KeyLimits
from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.leaves import Name, Origin, Time, text
from trackmate_contract.quantity import epoch_ms
from trackmate_contract.sentences import made, without_nulls
from trackmate_contract.settings import Settings
from trackmate_ingest.keys import Use, WriteKey

Value = Annotated[
    str,
    text(
        "a key's value",
        "printable ASCII without spaces",
        pattern=r"^[!-~]+$",
        longest=512,
        secret=True,
    ),
]


class IssuedKey(Settings):
    name: Name = Field(examples=["web"])
    key: Value = Field(repr=False, examples=["tmw_…"])
    use: Literal["Browser", "Server"] = Field(examples=["Browser"])
    created: Time | None = None
    expires: Time | None = None
    origins: Annotated[tuple[Origin, ...], Field(max_length=64)] = ()


def read(text: str, spec: Sequence[Key]) -> tuple[WriteKey, ...]:
    """
    The keys of a file's text, each with the limits that the spec gives to its name. Raises Faulty
    with all faults at once; no message holds a value.

    >>> [key] = read('[{"name": "web", "key": "tmw_1", "use": "Browser"}]', [])
    >>> key.name, key.use, key.origins
    ('web', <Use.BROWSER: 'Browser'>, frozenset())
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        where = getattr(error, "lineno", 1)
        raise Faulty((Fault("", f"line {where} is not JSON; write a list of keys"),)) from None
    if not isinstance(document, list):
        raise Faulty((Fault("", "is not a list; write the keys in [ ]"),))
    found: list[IssuedKey] = []
    faults: list[Fault] = []
    for index, item in enumerate(document):
        try:
            found.append(_issued(item))
        except Faulty as faulty:
            faults += [Fault(f"[{index}].{f.path}".rstrip("."), f.message) for f in faulty.faults]
    faults += _repeated(found)
    if faults:
        raise Faulty(tuple(faults))
    limits = {key.name: key.limits for key in spec}
    return tuple(_write_key(key, limits) for key in found)


def _issued(item: object) -> IssuedKey:
    if not isinstance(item, Mapping):
        raise Faulty((Fault("", 'is not a key; write {"name": …, "key": …, "use": …}'),))
    return made(IssuedKey, without_nulls(item))


def _repeated(keys: Sequence[IssuedKey]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for key in keys:
        if key.key in first:
            what = f"the keys {first[key.key]!r} and {key.name!r} have one value"
            yield Fault("", f"{what}; give each its own")
        first[key.key] = key.name


def _write_key(key: IssuedKey, limits: Mapping[str, KeyLimits]) -> WriteKey:
    own = limits.get(key.name, KeyLimits())
    return WriteKey(
        key.name,
        key.key,
        Use(key.use),
        frozenset(key.origins),
        None if key.expires is None else epoch_ms(key.expires),
        own.requests_per_second,
        own.bytes_per_second,
    )
