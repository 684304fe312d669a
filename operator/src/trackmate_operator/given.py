"""
Values of write keys that the affiliate's own Secrets have.
"""

from collections.abc import Iterable

from trackmate_contract.affiliate import Key
from trackmate_operator.cluster import Cluster
from trackmate_operator.declared import text_of
from trackmate_operator.kinds import SECRET, Ref


async def given(
    cluster: Cluster, namespace: str, keys: Iterable[Key]
) -> tuple[dict[str, str], list[str]]:
    """By the key's name; and a sentence for each that is not there. Raises Unanswered."""
    values: dict[str, str] = {}
    faults: list[str] = []
    for key in keys:
        if key.value_from is None:
            continue
        wanted = key.value_from.secret_key_ref
        secret = Ref(SECRET, wanted.name, namespace)
        found = await cluster.get(secret)
        value = text_of(found, wanted.key) if found is not None else None
        if value:
            values[key.name] = value.rstrip("\r\n")
        else:
            faults.append(
                f"{secret} with a value under {wanted.key!r} is not there, so that the write key "
                f"{key.name!r} opens nothing; make it."
            )
    return values, faults
