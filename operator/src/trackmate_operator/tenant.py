"""
All that the plan of one affiliate is made from: what was declared, what the platform gives, and
what is kept of it from before. Data alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trackmate_contract.affiliate import AffiliateSpec
from trackmate_contract.keybook import Book
from trackmate_contract.pipeline import PipelineSpec

Document = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as JSON has it."""


@dataclass(frozen=True)
class Declared:
    """A Pipeline that can be taken as it is."""

    name: str
    spec: PipelineSpec
    document: Document
    """Its spec as it was written, with the defaults of the API server."""
    paused: str = ""
    """Why it rests; "" when it does not."""


@dataclass(frozen=True)
class Tenant:
    """One affiliate, and what is known of it."""

    name: str
    id: str
    """What marks everything of it outside the cluster."""
    namespace: str
    host: str
    """The first of its hosts."""
    spec: AffiliateSpec
    document: Document
    """Its spec as it was written, with the defaults of the API server."""
    book: Book | None = None
    """The generations of its write keys; None where nobody knows: their Secret stays as it is."""
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values of keys that come from Secrets, by the key's name."""
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of its Kafka users, as far as they have one."""
    pipelines: tuple[Declared, ...] = ()
