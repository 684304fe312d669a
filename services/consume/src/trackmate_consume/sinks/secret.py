"""
The values of Secrets that a sink's declaration names.
"""

from collections.abc import Callable

from trackmate_consume.sink import Unfit
from trackmate_contract.specs import SecretKeyRef

Secret = Callable[[SecretKeyRef], str | None]
"""The value of a Secret's key in the affiliate's namespace; None where there is none."""


def found(ref: SecretKeyRef, secret: Secret, path: str) -> str:
    """The value. Raises Unfit, with the path where it is named."""
    value = secret(ref)
    if value is None:
        raise Unfit(
            path,
            f"there is no Secret {ref.name!r} with a key {ref.key!r} in the affiliate's namespace; "
            "add it",
        )
    return value
