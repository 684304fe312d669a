"""
What the platform gives to every affiliate, as a ConfigMap beside the operator: enough for
`trackmate plan` to say what would be made, and nothing of it secret. Pure.
"""

import json
from typing import Any

from trackmate_operator.kinds import CONFIG_MAP, Ref
from trackmate_operator.plan.objects import MANAGER
from trackmate_operator.platform import Platform
from trackmate_operator.settings import OperatorSettings
from trackmate_operator.tenant import Document

NAME = "trackmate-platform"
LABEL = "trackmate.io/platform"
"""The label by which it is found, wherever the operator runs."""

_SETTINGS_FILE = "settings.yaml"
_CA_FILE = "ca.crt"
_ELSEWHERE = "-"  # in the place of what is not published


def published(platform: Platform) -> Document:
    """The ConfigMap."""
    found = platform.settings
    shared = found.model_dump(
        mode="json",
        by_alias=True,
        include={"host_template", "topics", "allowed_networks", "quota", "lease", "strimzi"},
    )
    bootstrap = found.clients.bootstrap_servers or found.kafka.bootstrap_servers
    settings = {
        **shared,
        "clients": {"bootstrapServers": bootstrap, "tls": found.kafka.tls is not None},
    }
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": NAME,
            "namespace": found.lease.namespace,
            "labels": {LABEL: "true", "app.kubernetes.io/managed-by": MANAGER},
        },
        "data": {
            _SETTINGS_FILE: json.dumps(settings, indent=2) + "\n",
            _CA_FILE: platform.kafka_ca,
        },
    }


def reference(platform: Platform) -> Ref:
    """Where it is."""
    return Ref(CONFIG_MAP, NAME, platform.settings.lease.namespace)


def platform_of(document: Document) -> Platform:
    """
    A platform that plans the same, but for the values of keys: its root secret is nobody's. Raises
    ValueError where somebody else wrote it.
    """
    try:
        data = document["data"]
        written: dict[str, Any] = json.loads(data[_SETTINGS_FILE])
        clients = written.pop("clients")
        tls: dict[str, Any] = {"tls": {}} if clients["tls"] else {}
        settings = OperatorSettings.model_validate(
            {
                **{name: value for name, value in written.items() if value is not None},
                "rootSecretFile": _ELSEWHERE,
                "kafka": {"bootstrapServers": clients["bootstrapServers"], **tls},
            }
        )
        return Platform(settings, b"", data[_CA_FILE])
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks what the operator writes: {error}") from None
