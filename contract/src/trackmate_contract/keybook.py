"""
The write keys of an affiliate on a cluster: their generations, as a Secret keeps them, and what
ingest reads of them. Pure: the clock is an argument, milliseconds since 1970.

A key's value is derived, never stored: HMAC-SHA256 of the platform's root secret over the
affiliate's id, the key's name and its generation. The same root secret makes the same keys again.
"""

import hmac
from base64 import b32encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from .affiliate import Key
from .quantity import epoch_ms, rfc3339

GRACE_MS = 24 * 3600 * 1000
"""How long a value lives on after its key was rotated, or left the spec."""

_PREFIX = "tmw_"  # for secret scanners


@dataclass(frozen=True, slots=True)
class Generation:
    """One value that a key has, or had."""

    name: str
    number: int
    use: str
    origins: tuple[str, ...]
    created_ms: int
    in_spec: bool = True
    """Else it was made by command, or its key left the spec."""
    expires_ms: int | None = None
    revoked_ms: int | None = None


Book = tuple[Generation, ...]
"""All that is known of an affiliate's keys, in the order of name and number."""


class UnknownKey(Exception):  # noqa: N818 - said to a person as it is
    """No key of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No key {name!r}. See the keys with 'trackmate keys list'.")


def derive(root: bytes, affiliate_id: str, name: str, generation: int) -> str:
    """
    >>> derive(b"root", "af-1042", "web", 1) == derive(b"root", "af-1042", "web", 1)
    True
    >>> derive(b"root", "af-1042", "web", 1) == derive(b"root", "af-1042", "web", 2)
    False
    """
    text = f"{affiliate_id}\0{name}\0{generation}".encode()
    digest = hmac.new(root, text, sha256).digest()
    return _PREFIX + b32encode(digest[:20]).decode().lower()


def follow_spec(book: Book, keys: Sequence[Key], *, now_ms: int) -> Book:
    """Give each key of the spec a first value, and let those that left it run out."""
    wanted = {key.name: key for key in keys}
    newest = {one.name: one.number for one in book}
    first = (
        Generation(key.name, 1, key.use, key.origins, now_ms)
        for key in keys
        if key.name not in newest
    )
    return _ordered([*(_followed(one, wanted, newest, now_ms) for one in book), *first])


def _followed(
    one: Generation, wanted: Mapping[str, Key], newest: Mapping[str, int], now_ms: int
) -> Generation:
    key = wanted.get(one.name)
    if key is None:
        return replace(_expiring(one, now_ms + GRACE_MS), in_spec=False) if one.in_spec else one
    back = not one.in_spec and one.number == newest[one.name]  # its newest value lives on
    expires = None if back else one.expires_ms
    return replace(one, use=key.use, origins=key.origins, in_spec=True, expires_ms=expires)


def create(
    book: Book,
    name: str,
    *,
    use: str,
    origins: Sequence[str],
    now_ms: int,
    expires_ms: int | None,
) -> Book:
    """Add a key beside those of the spec. Raises ValueError where it cannot be."""
    if origins and use == "Server":
        raise ValueError("A server key has no origins. Leave them out, or make a browser key.")
    if any(one.name == name for one in book):
        raise ValueError(f"A key {name!r} exists already. Rotate it, or choose another name.")
    made = Generation(name, 1, use, tuple(origins), now_ms, in_spec=False, expires_ms=expires_ms)
    return _ordered([*book, made])


def rotate(book: Book, name: str, *, now_ms: int, grace_ms: int) -> Book:
    """Make a new value; the ones before it live on for the grace. Raises UnknownKey."""
    newest = _newest(book, name)
    kept = [_expiring(one, now_ms + grace_ms) if one.name == name else one for one in book]
    number = newest.number + 1
    made = replace(newest, number=number, created_ms=now_ms, expires_ms=None, revoked_ms=None)
    return _ordered([*kept, made])


def revoke(book: Book, name: str, *, now_ms: int) -> Book:
    """End every value of the key at once. Rotating it makes a new one. Raises UnknownKey."""
    _newest(book, name)
    return tuple(
        replace(one, revoked_ms=now_ms) if one.name == name and one.revoked_ms is None else one
        for one in book
    )


def issued(
    book: Book, spec: Sequence[Key], *, root: bytes, affiliate_id: str, given: Mapping[str, str]
) -> list[dict[str, Any]]:
    """
    Every key that is not revoked, in the form of `trackmate keys list --json`; the expired
    included: a refusal can then say why.

    `given` holds the values of spec keys that came from a Secret, by the key's name. A key that is
    to come from a Secret, and has not come yet, is not issued.
    """
    by_name = {key.name: key for key in spec}
    return [
        {
            "name": one.name,
            "key": given.get(one.name) or derive(root, affiliate_id, one.name, one.number),
            "use": one.use,
            "created": moment(one.created_ms),
            "expires": moment(_ends(one, by_name.get(one.name))),
            "origins": list(one.origins),
        }
        for one in book
        if one.revoked_ms is None and not _awaited(by_name.get(one.name), given)
    ]


def moment(at_ms: int | None) -> str | None:
    """When a key was made, or ends, as that list says it."""
    return None if at_ms is None else rfc3339(at_ms, timespec="milliseconds")


def _awaited(key: Key | None, given: Mapping[str, str]) -> bool:
    return key is not None and key.value_from is not None and key.name not in given


def _ends(one: Generation, key: Key | None) -> int | None:
    of_spec = epoch_ms(key.expires) if key is not None and key.expires is not None else None
    return min((at for at in (one.expires_ms, of_spec) if at is not None), default=None)


def _expiring(one: Generation, at_ms: int) -> Generation:
    ends = at_ms if one.expires_ms is None else min(one.expires_ms, at_ms)
    return replace(one, expires_ms=ends)


def _newest(book: Book, name: str) -> Generation:
    found = [one for one in book if one.name == name]
    if not found:
        raise UnknownKey(name)
    return found[-1]


def _ordered(generations: Iterable[Generation]) -> Book:
    return tuple(sorted(generations, key=lambda one: (one.name, one.number)))


def to_document(book: Book) -> list[dict[str, Any]]:
    """For a Secret."""
    return [asdict(one) for one in book]


def from_document(document: object) -> Book:
    """What `to_document` made. Raises ValueError where somebody else wrote it."""
    return _ordered(_generations(document))


def _generations(document: object) -> Iterator[Generation]:
    if not isinstance(document, list):
        raise ValueError("the book of keys is not a list")  # noqa: TRY004 - as of all faults here
    for item in document:
        try:
            found = Generation(**item)
        except TypeError as error:
            raise ValueError(f"the book of keys holds something else: {error}") from None
        yield replace(found, origins=tuple(found.origins))
