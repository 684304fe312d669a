"""
All that the program reads from files: its settings, the write keys, and what Kafka asks for. Read
as a whole, so that one look at the files is one state of affairs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trackmate_contract.faults import Fault, Faulty
from trackmate_ingest import issued, settings
from trackmate_ingest.kafka_topics import Asked
from trackmate_ingest.keys import WriteKey
from trackmate_ingest.settings import PROGRAM, IngestSettings
from trackmate_programs import kafka_access, yaml_file
from trackmate_programs.kafka_access import Access, read_access, unless_faulty
from trackmate_programs.settings_file import read_settings


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
        IngestSettings, path, environment, variables=PROGRAM, relate=settings.relate
    )
    faults: list[Fault] = []
    client = f"trackmate-ingest-{found.affiliate}"
    keys = unless_faulty(lambda: _keys(found), faults)
    access = unless_faulty(lambda: read_access(found.kafka, client), faults)
    if keys is None or access is None:
        raise Faulty(tuple(faults))
    return Configuration(found, keys, access)


def files(configuration: Configuration) -> Iterator[Path]:
    """The files, beside that of the settings, that it was read from."""
    yield Path(configuration.settings.keys_file)
    yield from kafka_access.files(configuration.settings.kafka)


def _keys(found: IngestSettings) -> tuple[WriteKey, ...]:
    path = found.keys_file
    text = yaml_file.read_text(Path(path), "keysFile")
    try:
        return issued.read(text, found.spec.ingest.keys)
    except Faulty as faulty:
        raise Faulty(
            tuple(Fault(f"keysFile {path!r}", str(fault)) for fault in faulty.faults)
        ) from None
