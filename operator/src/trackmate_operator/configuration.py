"""
All that the operator reads from files, as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trackmate_contract.faults import Fault, Faulty
from trackmate_operator import settings
from trackmate_operator.platform import Platform
from trackmate_operator.settings import PROGRAM, OperatorSettings
from trackmate_programs.kafka_access import Access, read_access, unless_faulty
from trackmate_programs.settings_file import read_settings
from trackmate_programs.yaml_file import read_text

CLIENT = "trackmate-operator"
"""What Kafka's logs and quotas know the operator by."""

_LEAST_ROOT = 32


@dataclass(frozen=True)
class Configuration:
    """What is in force."""

    platform: Platform
    access: Access
    """How the operator itself reaches Kafka."""


def load(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read everything. Raises Faulty with all faults at once; none of them holds a secret."""
    found = read_settings(
        OperatorSettings, path, environment, variables=PROGRAM, relate=settings.relate
    )
    faults: list[Fault] = []
    root = unless_faulty(lambda: _root(Path(found.root_secret_file)), faults)
    authorities = unless_faulty(lambda: _authorities(found), faults)
    access = unless_faulty(lambda: read_access(found.kafka, CLIENT), faults)
    if root is None or authorities is None or access is None:
        raise Faulty(tuple(faults))
    return Configuration(Platform(found, root, authorities), access)


def _root(path: Path) -> bytes:
    root = read_text(path, "rootSecretFile").rstrip("\r\n").encode()
    if len(root) < _LEAST_ROOT:
        what = (
            f"{str(path)!r} has {len(root)} bytes, which could be guessed; put {_LEAST_ROOT} or "
            "more there, as `openssl rand -hex 32` makes them"
        )
        raise Faulty((Fault("rootSecretFile", what),))
    return root


def _authorities(found: OperatorSettings) -> str:
    file = found.clients.ca_file
    return read_text(Path(file), "clients.caFile") if file is not None else ""
