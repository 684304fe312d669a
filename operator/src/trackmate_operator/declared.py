"""
From what the API server has to what can be planned: Affiliates and Pipelines that are taken as they
are, and sentences for the others. Pure.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from trackmate_contract import names
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.keybook import Book, from_document
from trackmate_contract.manifest import parse
from trackmate_contract.pipeline import Pipeline
from trackmate_contract.pipeline_secrets import own_secret_faults
from trackmate_operator.kinds import CONFIG_MAP, SECRET, Ref
from trackmate_operator.plan.programs import (
    BOOK_FILE,
    PASSWORD_FILE,
    SETTINGS_FILE,
    USER_FILE,
    pipeline_name,
)
from trackmate_operator.tenant import Declared, Document

PAUSED = "trackmate.io/paused"
"""The annotation of an Affiliate or a Pipeline that lets it rest; its value says why."""


def annotation(document: Document, name: str) -> str | None:
    """What an annotation says; None where there is none."""
    found: str | None = (document["metadata"].get("annotations") or {}).get(name)
    return found


def accepted(document: Document) -> Affiliate:
    """Raises Faulty with all faults at once."""
    return cast(Affiliate, parse(document))


def namespace_of(document: Document) -> str:
    """Where an affiliate's Pipelines are: as the spec says, else as it was pinned."""
    written = _spec(document).get("namespace") or _pinned(document).get("namespace")
    return written or names.namespace(document["metadata"]["name"])


def id_of(document: Document) -> str:
    """The spec's id; else what was pinned; else one that is made of the object's own."""
    metadata = document["metadata"]
    written = _spec(document).get("id") or _pinned(document).get("id")
    return written or f"{metadata['name']}-{metadata['uid'][:8]}"


def hosts_of(document: Document, template: str) -> list[str]:
    """Those that it names; else the one that was pinned, or that the platform's template gives."""
    written = _spec(document).get("ingest", {}).get("hosts")
    return list(written or [_host(document, template)])


def pinned(document: Document, template: str) -> Mapping[str, str]:
    """
    What cannot change once the affiliate is accepted; what was pinned before stays so. The store's
    isolation is among it where the spec says it: as long as no store is made, it has no default.
    """
    isolation = _spec(document).get("store", {}).get("isolation")
    return {
        "id": id_of(document),
        "namespace": namespace_of(document),
        "host": _host(document, template),
        **({"isolation": isolation} if isolation else {}),
        **_pinned(document),
    }


def _host(document: Document, template: str) -> str:
    return _pinned(document).get("host") or template.format(affiliate=document["metadata"]["name"])


def _spec(document: Document) -> Mapping[str, Any]:
    return document.get("spec") or {}


def _pinned(document: Document) -> Mapping[str, str]:
    found: Mapping[str, str] = (document.get("status") or {}).get("pinned") or {}
    return found


def host_conflict(document: Document, others: Iterable[Document], template: str) -> str:
    """Why this affiliate may not have its hosts: who was there before it has one of them."""
    mine = set(hosts_of(document, template))
    for other in sorted(others, key=_age):
        if other["metadata"]["name"] == document["metadata"]["name"]:
            return ""
        shared = sorted(mine & set(hosts_of(other, template)))
        if shared:
            return (
                f"The host {shared[0]!r} belongs to affiliate {other['metadata']['name']!r}, which "
                "was there before; take it out of spec.ingest.hosts of one of them."
            )
    return ""


def _age(document: Document) -> tuple[str, str]:
    metadata = document["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]


@dataclass(frozen=True)
class Pipelines:
    """The Pipelines of a namespace."""

    taken: tuple[Declared, ...]
    faults: Mapping[str, str] = field(default_factory=dict)
    """By name: why one is not taken as it is. If it ran before, it runs on as it did."""


def pipelines(
    documents: Iterable[Document], affiliate: Affiliate, there: Mapping[Ref, Document]
) -> Pipelines:
    """
    Those of the affiliate that run. One that cannot be taken runs on as its settings in the
    namespace say.
    """
    taken: list[Declared] = []
    faults: dict[str, str] = {}
    for document in documents:
        metadata = document["metadata"]
        if "deletionTimestamp" in metadata:
            continue
        name = metadata["name"]
        try:
            taken.append(_declared(document, affiliate))
        except Faulty as faulty:
            faults[name] = f"{faulty}."
            before = _before(document, there)
            if before is not None:
                taken.append(before)
    return Pipelines(tuple(taken), faults)


def _declared(document: Document, affiliate: Affiliate) -> Declared:
    found = cast(Pipeline, parse(document))
    faults = (*_stream_faults(found, affiliate), *own_secret_faults(affiliate.name, found.spec))
    if faults:
        raise Faulty(faults)
    return Declared(found.name, found.spec, document["spec"], _paused(document))


def _paused(document: Document) -> str:
    """Why it rests; "" when it does not. That its spec is faulty changes nothing."""
    why = annotation(document, PAUSED)
    return "" if why is None else why or "no reason is given"


def _stream_faults(pipeline: Pipeline, affiliate: Affiliate) -> Iterator[Fault]:
    streams = [stream.name for stream in affiliate.spec.streams]
    if pipeline.spec.stream not in streams:
        yield Fault(
            "spec.stream",
            f"{pipeline.spec.stream!r} is not a stream of the affiliate, which has "
            f"{', '.join(streams)}; name one of them, or add it to its spec.streams",
        )


def _before(document: Document, there: Mapping[Ref, Document]) -> Declared | None:
    """With the spec that its settings have, from when it could be taken."""
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    settings = there.get(Ref(CONFIG_MAP, pipeline_name(name), namespace))
    if settings is None:
        return None
    try:
        spec = json.loads(settings["data"][SETTINGS_FILE])["spec"]
        found = cast(
            Pipeline,
            parse(
                {
                    "apiVersion": "trackmate.io/v1alpha1",
                    "kind": "Pipeline",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": spec,
                }
            ),
        )
    except (ValueError, KeyError, TypeError):  # somebody changed it by hand: nothing to go on with
        return None
    return Declared(name, found.spec, spec, _paused(document))


def book_of(secret: Document) -> Book:
    """The book of write keys that their Secret holds. Raises ValueError where it cannot be read."""
    return from_document(json.loads(text_of(secret, BOOK_FILE) or ""))


def passwords_of(there: Mapping[Ref, Document]) -> Mapping[str, str]:
    """Those that the affiliate's Secrets have, by the Kafka user."""
    found: dict[str, str] = {}
    for one, document in there.items():
        if one.kind == SECRET:
            user, password = text_of(document, USER_FILE), text_of(document, PASSWORD_FILE)
            if user is not None and password is not None:
                found[user] = password
    return found


def text_of(secret: Document, key: str) -> str | None:
    """What a Secret has under a key."""
    data: Mapping[str, Any] = secret.get("data") or {}
    encoded = data.get(key)
    return None if encoded is None else b64decode(encoded).decode(errors="replace")
