"""
All that the program reads from files: its settings, what Kafka asks for, and the Secrets that the
spec may name. Read as a whole, so that one look at the files is one state of affairs.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from trackmate_consume import settings
from trackmate_consume.assembly import Network
from trackmate_consume.settings import PROGRAM, ConsumeSettings
from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.specs import SecretKeyRef
from trackmate_programs import kafka_access, yaml_file
from trackmate_programs.kafka_access import Access, read_access, unless_faulty
from trackmate_programs.settings_file import read_settings

Secrets = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Configuration:
    """What is in force, or would be."""

    settings: ConsumeSettings
    access: Access
    secrets: Secrets = field(repr=False)
    """Values by Secret and key."""

    def secret(self, ref: SecretKeyRef) -> str | None:
        return self.secrets.get((ref.name, ref.key))

    @property
    def streams(self) -> tuple[str, ...]:
        spec = self.settings.spec
        return self.settings.streams if spec is None else (spec.stream,)

    @property
    def networks(self) -> list[Network]:
        return [ip_network(one) for one in self.settings.allowed_networks]


def load(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read everything. Raises Faulty with all faults at once; none of them holds a secret."""
    found = read_settings(
        ConsumeSettings, path, environment, variables=PROGRAM, relate=settings.relate
    )
    faults: list[Fault] = []
    client = f"trackmate-consume-{found.affiliate}.{found.pipeline}"
    access = unless_faulty(lambda: read_access(found.kafka, client), faults)
    secrets = unless_faulty(lambda: _secrets(found), faults)
    if access is None or secrets is None:
        raise Faulty(tuple(faults))
    return Configuration(found, access, secrets)


def stamp(path: Path, configuration: Configuration) -> Hashable:
    """What tells that a file changed, without reading any."""
    settings = configuration.settings
    folder = settings.secrets_folder
    secrets = [] if folder is None else sorted(Path(folder).glob("*/*"))
    return tuple(map(_stamp, (path, *kafka_access.files(settings.kafka), *secrets)))


def _stamp(file: Path) -> tuple[str, int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0, 0
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


def _secrets(found: ConsumeSettings) -> Secrets:
    """What a spec names and is not there is the sink's to say: it knows where it is named."""
    if found.secrets_folder is None:
        return {}
    folder = Path(found.secrets_folder)
    name = f"secretsFolder {found.secrets_folder!r}"
    try:
        files = [file for file in folder.glob("*/*") if not file.name.startswith("..")]
    except OSError as error:
        raise Faulty((Fault(name, f"cannot be read ({error.strerror})"),)) from None
    return {
        (file.parent.name, file.name): yaml_file.read_text(file, name)
        for file in files
        if file.is_file()
    }
