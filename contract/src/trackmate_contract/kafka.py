"""
How a program reaches Kafka: its settings, and what they are called in librdkafka. Certificates are
always verified, names included; there is no setting that turns it off.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .faults import Fault, Place
from .leaves import File, Flag, KafkaServers, text
from .settings import Settings

UserName = Annotated[
    str,
    text(
        "the name of a Kafka user",
        "it without control characters, like 'acme-ingest'",
        pattern=r"^[^\x00-\x1f\x7f]+$",
        longest=249,
    ),
]


class Tls(Settings):
    ca_file: File | None = None
    """PEM file of the authorities that brokers' certificates are checked against; without it, the
    system's."""
    cert_file: File | None = None
    """PEM file of the client's own certificate, for brokers that ask for one; with keyFile."""
    key_file: File | None = None
    """PEM file of that certificate's key, without a pass phrase."""


class Sasl(Settings):
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """How the password is proved. PLAIN shows it to the broker, and needs tls."""
    username: UserName = Field(examples=["acme-ingest"])
    """The Kafka user."""
    password_file: File = Field(examples=["/etc/trackmate/kafka/password"])
    """File that holds the password; a line break at its end does not count."""


class Kafka(Settings):
    bootstrap_servers: KafkaServers = Field(examples=["kafka-bootstrap.kafka:9093"])
    """Where to ask for the brokers first: host:port, with commas between."""
    tls: Tls | None = None
    """Encrypt, and check the brokers' certificates; {} takes the system's authorities."""
    sasl: Sasl | None = None
    """Log in with a user name and a password."""
    relaxed: Flag = False
    """For development on one broker: let topics pass that keep an event on one broker alone."""


def rules(kafka: Place) -> Iterator[Fault]:
    """What does not fit together in the settings of Kafka."""
    tls = kafka.at("tls")
    for given, missing in (("certFile", "keyFile"), ("keyFile", "certFile")):
        if tls.at(given).value is not None and tls.at(missing).value is None:
            yield tls.fault(f"{given!r} is there without {missing!r}; add it, or remove {given!r}")
    if kafka.at("sasl").at("mechanism").value == "PLAIN" and tls.value is None:
        yield kafka.at("sasl").fault(
            "'PLAIN' without tls shows the password to whoever listens; add tls: {}, or take "
            "SCRAM-SHA-512"
        )


def client_settings(kafka: Kafka, password: str | None) -> dict[str, str]:
    """
    The same for librdkafka. `password` is what the password file holds.

    >>> plain = Kafka.model_validate({"bootstrapServers": "a.example:9092"})
    >>> client_settings(plain, None)
    {'bootstrap.servers': 'a.example:9092', 'security.protocol': 'PLAINTEXT'}
    """
    tls, sasl = kafka.tls, kafka.sasl
    protocol = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    found = {"bootstrap.servers": kafka.bootstrap_servers, "security.protocol": protocol}
    if tls is not None:
        files = {
            "ssl.ca.location": tls.ca_file,
            "ssl.certificate.location": tls.cert_file,
            "ssl.key.location": tls.key_file,
        }
        found |= {name: file for name, file in files.items() if file is not None}
    if sasl is not None:
        found |= {
            "sasl.mechanism": sasl.mechanism,
            "sasl.username": sasl.username,
            "sasl.password": password or "",
        }
    return found
