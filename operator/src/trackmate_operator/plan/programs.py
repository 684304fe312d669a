"""
What the affiliate's programs read: their settings, the write keys, and how each logs in to Kafka.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from trackmate_contract.keybook import Book, issued, to_document
from trackmate_contract.names import keys_secret
from trackmate_operator.plan.kafka import ingest_user, pipeline_user
from trackmate_operator.plan.objects import PART, made
from trackmate_operator.platform import Platform
from trackmate_operator.tenant import Declared, Document, Tenant

KEYS_FILE = "keys.json"
BOOK_FILE = "book.json"
"""The generations of the keys: what `keys.json` is made from."""
SETTINGS_FILE = "settings.yaml"
USER_FILE = "username"
PASSWORD_FILE = "password"  # noqa: S105 - the file's name
CA_FILE = "ca.crt"

MOUNTED = "/etc/trackmate"
"""Where the programs find their files: `keys`, `kafka` and `secrets` below it."""
INGEST = "trackmate-ingest"


def pipeline_name(pipeline: str) -> str:
    """What a pipeline's objects are called."""
    return f"trackmate-pipeline-{pipeline}"


def credentials_name(program: str) -> str:
    """
    The Secret of a program's Kafka user.

    >>> credentials_name("trackmate-ingest")
    'trackmate-ingest-kafka'
    """
    return f"{program}-kafka"


def programs(tenant: Tenant, platform: Platform) -> Iterator[Document]:
    """Secrets and ConfigMaps of all programs. Without its password, a program has no settings."""
    if tenant.book is not None:
        yield _keys(tenant, tenant.book, platform)
    user = ingest_user(tenant.name)
    if user in tenant.passwords:
        yield _credentials(tenant, platform, INGEST, user)
        yield _settings(tenant, INGEST, "ingest", _ingest(tenant, platform))
    for one in tenant.pipelines:
        user, name = pipeline_user(tenant.name, one.name), pipeline_name(one.name)
        if user in tenant.passwords:
            yield _credentials(tenant, platform, name, user)
            yield _settings(tenant, name, "consume", _consume(tenant, one, platform))


def _keys(tenant: Tenant, book: Book, platform: Platform) -> Document:
    keys = issued(
        book,
        tenant.spec.ingest.keys,
        root=platform.root,
        affiliate_id=tenant.id,
        given=tenant.given,
    )
    texts = {KEYS_FILE: _json(keys), BOOK_FILE: _json(to_document(book))}
    return _secret(tenant, keys_secret(tenant.name), texts)


def _credentials(tenant: Tenant, platform: Platform, program: str, user: str) -> Document:
    texts = {USER_FILE: user, PASSWORD_FILE: tenant.passwords[user]}
    if platform.kafka_ca:
        texts[CA_FILE] = platform.kafka_ca
    return _secret(tenant, credentials_name(program), texts)


def _ingest(tenant: Tenant, platform: Platform) -> Document:
    spec = dict(tenant.document)
    ingest = spec.get("ingest", {})
    spec["ingest"] = {**ingest, "hosts": ingest.get("hosts") or [tenant.host]}
    return {
        "affiliate": tenant.name,
        "spec": spec,
        "keysFile": f"{MOUNTED}/keys/{KEYS_FILE}",
        "kafka": _kafka(platform, ingest_user(tenant.name)),
    }


def _consume(tenant: Tenant, pipeline: Declared, platform: Platform) -> Document:
    settings: dict[str, Any] = {
        "affiliate": tenant.name,
        "pipeline": pipeline.name,
        "spec": pipeline.document,
        "kafka": _kafka(platform, pipeline_user(tenant.name, pipeline.name)),
        "secretsFolder": f"{MOUNTED}/secrets",
    }
    if platform.settings.allowed_networks:
        settings["allowedNetworks"] = list(platform.settings.allowed_networks)
    if pipeline.paused:
        settings["paused"] = pipeline.paused
    return settings


def _kafka(platform: Platform, user: str) -> Document:
    settings = platform.settings
    found: dict[str, Any] = {
        "bootstrapServers": settings.clients.bootstrap_servers or settings.kafka.bootstrap_servers,
        "sasl": {"username": user, "passwordFile": f"{MOUNTED}/kafka/{PASSWORD_FILE}"},
    }
    if platform.kafka_ca:
        found["tls"] = {"caFile": f"{MOUNTED}/kafka/{CA_FILE}"}
    elif settings.kafka.tls is not None:
        found["tls"] = {}
    if settings.topics.replicas < _PROMISED_REPLICAS:
        found["relaxed"] = True
    return found


_PROMISED_REPLICAS = 3  # what the answer 200 needs


def _settings(tenant: Tenant, name: str, part: str, settings: Document) -> Document:
    # JSON is YAML, and one line of it cannot be read in two ways
    return made(
        "v1",
        "ConfigMap",
        name,
        affiliate=tenant.name,
        namespace=tenant.namespace,
        labels={PART: part},
        data={SETTINGS_FILE: _json(settings)},
    )


def _secret(tenant: Tenant, name: str, texts: Mapping[str, str]) -> Document:
    data = {file: b64encode(text.encode()).decode() for file, text in texts.items()}
    return made(
        "v1",
        "Secret",
        name,
        affiliate=tenant.name,
        namespace=tenant.namespace,
        type="Opaque",
        data=data,
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
