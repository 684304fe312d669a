"""
How Kafka is reached, with the secrets that the settings name by their files.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from socket import gethostname
from typing import TypeVar

from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.kafka import Kafka, client_settings
from trackmate_programs.yaml_file import read_text

Read = TypeVar("Read")


@dataclass(frozen=True)
class Access:
    """Secrets included; equal where nothing of it changed."""

    kafka: Kafka
    client: Mapping[str, str] = field(repr=False)
    """Settings of librdkafka."""
    certificates: str
    """A digest of the files that librdkafka reads by itself."""

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password; None where there is no login."""
        if self.kafka.sasl is None:
            return None
        return self.client["sasl.username"], self.client["sasl.password"]


def read_access(kafka: Kafka, client: str) -> Access:
    """
    Read what the settings name. `client` is what Kafka's own logs and quotas know the program by.
    Raises Faulty with all faults at once; none of them holds a secret.
    """
    faults: list[Fault] = []
    password, digest = None, sha256()
    sasl = kafka.sasl
    if sasl is not None:
        password = unless_faulty(lambda: read_password(Path(sasl.password_file)), faults)
    for setting, path in _certificates(kafka):
        text = unless_faulty(_reading(path, setting), faults)
        digest.update(sha256((text or "").encode()).digest())
    if faults:
        raise Faulty(tuple(faults))
    found = {**client_settings(kafka, password), "client.id": f"{client}@{gethostname()}"}
    return Access(kafka, found, digest.hexdigest())


def files(kafka: Kafka) -> Iterator[Path]:
    """The files that are read for it."""
    if kafka.sasl is not None:
        yield Path(kafka.sasl.password_file)
    yield from (path for _, path in _certificates(kafka))


def unless_faulty(read: Callable[[], Read], faults: list[Fault]) -> Read | None:
    """What is read; its faults are added to the others."""
    try:
        return read()
    except Faulty as faulty:
        faults += faulty.faults
        return None


def read_password(path: Path, name: str = "kafka.sasl.passwordFile") -> str:
    """A password that the setting `name` names the file of. Raises Faulty."""
    password = read_text(path, name).rstrip("\r\n")
    if not password:
        raise Faulty((Fault(name, f"{str(path)!r} is empty; put the password there"),))
    return password


def _certificates(kafka: Kafka) -> Iterator[tuple[str, Path]]:
    tls = kafka.tls
    if tls is None:
        return
    named = {"caFile": tls.ca_file, "certFile": tls.cert_file, "keyFile": tls.key_file}
    for name, path in named.items():
        if path is not None:
            yield f"kafka.tls.{name}", Path(path)


def _reading(path: Path, setting: str) -> Callable[[], str]:
    return lambda: read_text(path, setting)
