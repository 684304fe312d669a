"""
What `trackmate plan` finds: what would become of each resource, wherever it runs. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trackmate.misfit import Misfit


class Field(NamedTuple):
    """A field that would change; None where there is nothing."""

    path: str
    before: Any
    after: Any


class Change(NamedTuple):
    """What would become of one resource."""

    action: str
    """`add`, `change` or `remove`."""
    kind: str
    name: str
    fields: Sequence[Field] = ()
    note: str = ""
    """What is to be known of it, in a few words."""


class Plan(NamedTuple):
    """What would be, and what keeps it from being."""

    changes: Sequence[Change]
    faults: Sequence[Misfit]
    notices: Sequence[str] = ()


def differences(path: str, before: Any, after: Any) -> Iterator[Field]:
    """
    Field by field; of lists whose items have names, item by item.

    >>> list(differences("spec", {"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}))
    [Field(path='spec.b.c', before=2, after=3)]
    >>> list(differences("keys", [{"name": "web", "use": 1}], [{"name": "web", "use": 2}]))
    [Field(path='keys[web].use', before=1, after=2)]
    """
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from differences(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
        return
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None or old == new:
        yield Field(path, before, after)
        return
    for name in dict.fromkeys([*old, *new]):
        yield from differences(f"{path}[{name}]", old.get(name), new.get(name))


def _by_name(items: Any) -> dict[str, Any] | None:
    """The items of a list by their names; None where they have none of their own."""
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return None
    named = {item.get("name"): item for item in items}
    return None if None in named or len(named) < len(items) else named
