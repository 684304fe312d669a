"""
All that the program reads from files: its settings, the write keys, and what Kafka asks for. Read
as a whole, so that one look at the files is one state of affairs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from socket import gethostname
from typing import TypeVar

from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.kafka import Kafka, client_settings
from trackmate_contract.settings import read as read_settings
from trackmate_ingest import issued, settings, yaml_file
from trackmate_ingest.kafka_topics import Asked
from trackmate_ingest.keys import WriteKey
from trackmate_ingest.settings import PROGRAM, IngestSettings

Read = TypeVar("Read")


@dataclass(frozen=True)
class Access:
    """How Kafka is reached, secrets included; equal where nothing of it changed."""

    kafka: Kafka
    client: Mapping[str, str] = field(repr=False)
    """Settings of librdkafka."""
    certificates: str
    """A digest of the files that librdkafka reads by itself."""


@dataclass(frozen=True)
class Configuration:
    """What is in force, or would be."""

    settings: IngestSettings
    keys: tuple[WriteKey, ...]
    access: Access

    @property
    def asked(self) -> Asked:
        """What the topics must do."""
        spec = self.settings.spec
        return Asked(
            self.settings.affiliate,
            [stream.name for stream in spec.streams],
            spec.ingest.limits.event_bytes,
            relaxed=self.access.kafka.relaxed,
        )


def load(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read everything. Raises Faulty with all faults at once; none of them holds a secret."""
    found = read_settings(
        IngestSettings,
        yaml_file.read(path),
        environment,
        program=PROGRAM,
        value=yaml_file.value,
        relate=settings.relate,
    )
    faults: list[Fault] = []
    keys = _unless_faulty(lambda: _keys(found), faults)
    access = _unless_faulty(lambda: _access(found), faults)
    if keys is None or access is None:
        raise Faulty(tuple(faults))
    return Configuration(found, keys, access)


def files(configuration: Configuration) -> Iterator[Path]:
    """The files, beside that of the settings, that it was read from."""
    tls, sasl = configuration.settings.kafka.tls, configuration.settings.kafka.sasl
    yield Path(configuration.settings.keys_file)
    if sasl is not None:
        yield Path(sasl.password_file)
    if tls is not None:
        yield from map(Path, filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))


def _unless_faulty(read: Callable[[], Read], faults: list[Fault]) -> Read | None:
    try:
        return read()
    except Faulty as faulty:
        faults += faulty.faults
        return None


def _keys(found: IngestSettings) -> tuple[WriteKey, ...]:
    path = found.keys_file
    text = yaml_file.read_text(Path(path), "keysFile")
    try:
        return issued.read(text, found.spec.ingest.keys)
    except Faulty as faulty:
        raise Faulty(
            tuple(Fault(f"keysFile {path!r}", str(fault)) for fault in faulty.faults)
        ) from None


def _access(found: IngestSettings) -> Access:
    kafka, faults = found.kafka, list[Fault]()
    password, digest = None, sha256()
    sasl, tls = kafka.sasl, kafka.tls
    if sasl is not None:
        password = _unless_faulty(lambda: _password(Path(sasl.password_file)), faults)
    for name in ("ca_file", "cert_file", "key_file"):
        path = getattr(tls, name, None)
        if path is not None:
            setting = f"kafka.tls.{name.replace('_f', 'F')}"
            read = lambda p=path, s=setting: yaml_file.read_text(Path(p), s)  # noqa: E731
            text = _unless_faulty(read, faults)
            digest.update(sha256((text or "").encode()).digest())
    if faults:
        raise Faulty(tuple(faults))
    client = {
        **client_settings(kafka, password),
        "client.id": f"trackmate-ingest-{found.affiliate}@{gethostname()}",  # for Kafka's own logs
    }
    return Access(kafka, client, digest.hexdigest())


def _password(path: Path) -> str:
    name = "kafka.sasl.passwordFile"
    password = yaml_file.read_text(path, name).rstrip("\r\n")
    if not password:
        raise Faulty((Fault(name, f"{str(path)!r} is empty; put the password there"),))
    return password
