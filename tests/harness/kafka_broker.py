"""
A throw-away Kafka: real brokers, each a Java process on free loopback ports, with KRaft and without
anything else. Its jars come from Maven Central once and are kept in the user's cache.

`kafka_brokers(3)` is a cluster with three replicas of everything; with `secured=True` clients log
in by SCRAM, and the authorizer asks for an ACL whatever they do; with an `authority` they do so
over TLS.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from links import Network
from ports import free_ports

_POM = Path(__file__).parent / "jars" / "pom.xml"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackmate"
_START_S = 60.0
ADMIN, PASSWORD = "admin", "admin-secret"

_PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=CLIENTS://127.0.0.1:{port},BROKERS://127.0.0.1:{brokers},\
CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{client_link},BROKERS://127.0.0.1:{broker_link}
listener.security.protocol.map=CLIENTS:{protocol},BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKERS
log.dirs={data}
num.partitions=1
default.replication.factor={replicas}
min.insync.replicas={least}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.retention.check.interval.ms=1000
log.cleaner.dedupe.buffer.size=8388608
metadata.log.max.record.bytes.between.snapshots=2048
num.network.threads=2
num.io.threads=2
"""
"""
Snapshots of the metadata are made often, because a broker that starts from records alone may forget
every SCRAM user, where one of them removes a user (ScramDelta.apply, Kafka 4.1 to 4.3).
"""

_TO_FORMAT = """\
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:9093
listeners=BROKERS://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
listener.security.protocol.map=BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKERS
log.dirs={data}
"""
"""What the tool wants to know; the ports are nobody's."""

_SECURED = """\
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{admin}" password="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
"""


_TLS = """\
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
ssl.client.auth={asked}
"""


@dataclass
class Broker:
    """One broker of a cluster."""

    number: int
    home: Path
    port: int
    """Where clients find it: of its link where there is one."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text("utf-8", "replace")

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _java("kafka.Kafka", str(self.home / "server.properties")),
                stdout=log,
                stderr=log,
                cwd=self.home,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """As an administrator stops it: its partitions are led by others first."""
        assert self.process
        self.process.terminate()
        self.process.wait(timeout=60)


@dataclass
class Cluster:
    """Running brokers."""

    brokers: list[Broker]
    secured: bool
    ca_file: Path | None = None
    """Of the authority, where clients speak TLS."""
    own_file: Path | None = None
    """The administrator's certificate with its key, where brokers ask for one."""
    clients: Network = field(default_factory=Network)
    """Between clients and brokers; without links where none were asked for."""
    between: Network = field(default_factory=Network)
    """Between the brokers."""

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def settings(self, user: str = ADMIN, password: str = PASSWORD) -> dict[str, Any]:
        """Of a client of librdkafka."""
        found: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if self.ca_file is not None:
            found["ssl.ca.location"] = str(self.ca_file)
        if self.own_file is not None:
            own = str(self.own_file)
            found |= {"ssl.certificate.location": own, "ssl.key.location": own}
        tls = self.ca_file is not None
        found["security.protocol"] = _protocol(secured=self.secured, tls=tls)
        if self.secured:
            found |= {
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": user,
                "sasl.password": password,
            }
        return found

    def admin(self) -> AdminClient:
        """A client of the administrator, to be kept until what it was asked is done."""
        return AdminClient({**self.settings(), "log_level": 2})

    def wait(self) -> None:
        """Until every broker answers and has all of its replicas in sync."""
        deadline = time.monotonic() + _START_S
        admin = self.admin()
        while missing := _what_is_missing(self, admin):
            assert time.monotonic() < deadline, f"{missing}\n{self.brokers[0].log}"
            time.sleep(0.1)

    def leaders(self, topic: str) -> set[int]:
        """The brokers that lead a partition of it."""
        found = self.admin().list_topics(topic, timeout=10).topics[topic]
        return {partition.leader for partition in found.partitions.values()}

    def create(self, *topics: str, partitions: int = 3, **config: str) -> None:
        """Each with as many replicas as there are brokers, at most three."""
        replicas = min(3, len(self.brokers))
        settings = {name.replace("_", "."): value for name, value in config.items()}
        asked = [NewTopic(name, partitions, replicas, config=settings) for name in topics]
        admin = self.admin()
        for made in admin.create_topics(asked).values():
            made.result(timeout=30)

    def delete(self, *topics: str) -> None:
        admin = self.admin()
        for deleted in admin.delete_topics([*topics]).values() if topics else ():
            deleted.result(timeout=30)

    def empty(self) -> None:
        """Delete all topics, and with them what groups committed of them."""
        there = self.admin().list_topics(timeout=10).topics
        self.delete(*(name for name in there if name[0] != "_"))


@contextmanager
def kafka_brokers(
    number: int = 1,
    *,
    secured: bool = False,
    authority: trustme.CA | None = None,
    mutual: bool = False,
    linked: bool = False,
    small_disk: int = 0,
) -> Iterator[Cluster]:
    """
    Running; `linked` over networks that a test can break. With a `small_disk`, the last broker has
    one of so many bytes.
    """
    with tempfile.TemporaryDirectory(prefix="kafka-") as name, ExitStack() as mounted:
        if small_disk:
            mounted.enter_context(_disk(Path(name) / str(number - 1) / "data", small_disk))
        cluster = _prepared(
            Path(name),
            number,
            secured=secured,
            authority=authority,
            mutual=mutual,
            linked=linked,
        )
        try:
            for broker in cluster.brokers:
                broker.start()
            cluster.wait()
            yield cluster
        finally:
            for broker in cluster.brokers:
                broker.kill()
            cluster.clients.end()
            cluster.between.end()


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of its own. Needs `mount`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _protocol(*, secured: bool, tls: bool) -> str:
    return ("SASL_" if secured else "") + ("SSL" if tls else "PLAINTEXT")


def issued(authority: trustme.CA) -> tuple[bytes, bytes]:
    """
    A certificate and its key in PEM, for a broker and for who comes to one. Whoever shows it has
    the same name each time: a broker takes no other for its own while it runs.
    """
    certificate = authority.issue_cert(
        "127.0.0.1", "127.0.0.2", organization_name="Trackmate", organization_unit_name="Tests"
    )
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems), pem


def certify(file: Path, authority: trustme.CA) -> None:
    """Write both into one file."""
    file.write_bytes(b"".join(issued(authority)))


def _prepared(
    home: Path,
    number: int,
    *,
    secured: bool,
    authority: trustme.CA | None,
    mutual: bool,
    linked: bool,
) -> Cluster:
    found = iter(free_ports(3 * number))
    ports = [(next(found), next(found), next(found)) for _ in range(number)]
    clients = Network(*(one[0] for one in ports)) if linked else Network()
    between = Network(*(one[2] for one in ports)) if linked else Network()
    voters = ",".join(f"{n}@127.0.0.1:{ports[n][1]}" for n in range(number))
    brokers = []
    for n in range(number):
        folder = home / str(n)
        folder.mkdir(exist_ok=True)
        text = _PROPERTIES.format(
            number=n,
            voters=voters,
            port=ports[n][0],
            controller=ports[n][1],
            brokers=ports[n][2],
            client_link=clients.links[n].port if linked else ports[n][0],
            broker_link=between.links[n].port if linked else ports[n][2],
            protocol=_protocol(secured=secured, tls=authority is not None),
            data=folder / "data",
            replicas=min(3, number),
            least=min(2, number),
        )
        text += _SECURED.format(admin=ADMIN, password=PASSWORD) if secured else ""
        if authority is not None:
            certify(folder / "broker.pem", authority)
            authority.cert_pem.write_to_path(str(folder / "authority.pem"))
            text += _TLS.format(folder=folder, asked="required" if mutual else "none")
        (folder / "server.properties").write_text(text, "utf-8")
        _format(folder / "data", n, secured=secured)
        brokers.append(Broker(n, folder, clients.links[n].port if linked else ports[n][0]))
    ca_file = brokers[0].home / "authority.pem" if authority is not None else None
    own_file = home / "own.pem" if authority is not None and mutual else None
    if own_file is not None and authority is not None:
        certify(own_file, authority)
    return Cluster(brokers, secured, ca_file, own_file, clients, between)


def _format(data: Path, number: int, *, secured: bool) -> None:
    """As Kafka's own tool does, which is a process of 0.8 s for each broker."""
    data.mkdir(exist_ok=True)
    for name, content in _formatted(secured=secured).items():
        (data / name).write_bytes(content)
    meta = data / "meta.properties"
    own = {"node.id": str(number), "directory.id": _uuid()}
    pairs = [line.partition("=")[::2] for line in meta.read_text("utf-8").splitlines()]
    text = "\n".join(f"{name}={own.get(name, value)}" for name, value in pairs if name[0] != "#")
    meta.write_text(text, "utf-8")


@cache
def _formatted(*, secured: bool) -> dict[str, bytes]:
    """The files of a broker that has not run yet."""
    scram = f"SCRAM-SHA-512=[name={ADMIN},password={PASSWORD}]"
    arguments = ["--add-scram", scram] if secured else []
    with tempfile.TemporaryDirectory(prefix="kafka-") as home:
        settings, data = Path(home, "server.properties"), Path(home, "data")
        settings.write_text(_TO_FORMAT.format(data=data), "utf-8")
        subprocess.run(
            _java(
                "kafka.tools.StorageTool",
                *("format", f"--cluster-id={_uuid()}", "-c", str(settings), *arguments),
            ),
            check=True,
            capture_output=True,
        )
        return {file.name: file.read_bytes() for file in data.iterdir()}


def _uuid() -> str:
    """As Kafka writes them (`org.apache.kafka.common.Uuid`)."""
    return urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")


def _java(*arguments: str) -> list[str]:
    options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *options, "-cp", f"{jars()}/*", *arguments]


def jars() -> Path:
    """The folder of the jars, fetched on first need; by one process, whoever else waits for it."""
    kept = _CACHE / f"kafka-{_version()}"
    if kept.exists():
        return kept
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
                *("-DincludeScope=runtime", f"-DoutputDirectory={name}/jars"),
            ],
            check=True,
        )
        try:
            Path(name, "jars").rename(kept)
        except OSError:  # another was faster
            if not kept.exists():
                raise
    return kept


def _version() -> str:
    [version] = re.findall(r"kafka_2\.13</artifactId>\s*<version>(.*)<", _POM.read_text("utf-8"))
    return str(version)


def _what_is_missing(cluster: Cluster, admin: AdminClient) -> str:
    for broker in cluster.brokers:
        assert broker.process
        assert broker.process.poll() is None, broker.log
    try:
        there = admin.list_topics(timeout=1)
    except KafkaException as why:
        return str(why)
    if len(there.brokers) != len(cluster.brokers):
        return f"brokers: {[*there.brokers]}"
    behind = [
        f"{topic.topic} {one.id}: {one.isrs} of {one.replicas}"
        for topic in there.topics.values()
        for one in topic.partitions.values()
        if len(one.isrs) != len(one.replicas)
    ]
    return f"out of sync: {behind}" if behind else ""


def there() -> bool:
    """Whether this machine can run it."""
    fetched = (_CACHE / f"kafka-{_version()}").exists()
    return bool(shutil.which("java") and (fetched or shutil.which("mvn")))
