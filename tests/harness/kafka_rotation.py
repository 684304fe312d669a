"""
Brokers that get other certificates, and take others, while they run.
"""

import socket
import ssl
from itertools import count
from pathlib import Path

import trustme
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from cryptography.x509 import Name, load_der_x509_certificate, load_pem_x509_certificate

from kafka_broker import Broker, Cluster, certify
from waiting_for import wait_until

_numbers = count()
_REFUSED_S = 1.0  # a broker that takes us waits for a request, one that does not says so at once


def trust(cluster: Cluster, *authorities: trustme.CA) -> None:
    """From the next connection on, take clients' certificates of these alone."""
    pem = b"".join(one.cert_pem.bytes() for one in authorities)
    for broker in cluster.brokers:
        file = broker.home / f"trusted-{next(_numbers)}.pem"
        file.write_bytes(pem)
        _set(cluster, broker, "truststore", file)


def show(cluster: Cluster, authority: trustme.CA) -> None:
    """Show certificates of this one; in force when this returns."""
    issuer = load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    for broker in cluster.brokers:
        file = broker.home / f"shown-{next(_numbers)}.pem"
        certify(file, authority)
        _set(cluster, broker, "keystore", file)
        wait_until(lambda b=broker: _hello(b, None)[0] == issuer, "it is shown")  # type: ignore[misc]


def takes(cluster: Cluster, own: Path) -> bool:
    """Whether every broker takes who shows this certificate, which has its key beside it."""
    return all(_hello(broker, own)[1] for broker in cluster.brokers)


def _hello(broker: Broker, own: Path | None) -> tuple[Name, bool]:
    """Who issued what the broker shows, and whether it takes what we show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own is not None:
        context.load_cert_chain(own)
    with (
        socket.create_connection(("127.0.0.1", broker.port)) as plain,
        context.wrap_socket(plain) as connection,
    ):
        shown = load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
        connection.settimeout(_REFUSED_S)
        try:
            connection.recv(1)
        except TimeoutError:
            return shown.issuer, True
        except OSError:  # an ssl.SSLError is one
            pass
        return shown.issuer, False


def _set(cluster: Cluster, broker: Broker, store: str, file: Path) -> None:
    entry = ConfigEntry(
        f"listener.name.clients.ssl.{store}.location",
        str(file),
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ResourceType.BROKER, str(broker.number), incremental_configs=[entry])
    admin = cluster.admin()
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(timeout=30)
