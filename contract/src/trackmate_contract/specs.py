"""
What the specs of both kinds are made of: the frozen model, and references to Secrets.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .leaves import SecretKey, SecretName

ApiVersion = Literal["trackmate.io/v1alpha1"]
API_VERSION: ApiVersion = "trackmate.io/v1alpha1"


def yaml_name(field: str) -> str:
    """
    The name in YAML: camel case, and without the `_s` that marks seconds in Python.

    >>> yaml_name("body_timeout_s"), yaml_name("event_bytes")
    ('bodyTimeout', 'eventBytes')
    """
    return to_camel(field.removesuffix("_s"))


class Spec(BaseModel):
    """
    A part of a manifest. Made by `parse`, which alone reports all faults at once. A field with
    `repr=False` is where a secret may stand, rightly or by mistake: no message repeats its value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=yaml_name)


class SecretKeyRef(Spec):
    """One key of a Secret in the affiliate's namespace."""

    name: SecretName = Field(examples=["crm"])
    key: SecretKey = Field(examples=["token"])


class ValueFrom(Spec):
    secret_key_ref: SecretKeyRef = Field(examples=["{name: crm, key: token}"], repr=False)
