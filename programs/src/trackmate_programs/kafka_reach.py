"""
Why Kafka cannot be reached or does not let us in, in a sentence with its cure: librdkafka alone
would say "timed out" to most of it. Blocks.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import KafkaError

from trackmate_contract.kafka import Kafka, Tls

_REACHED_S = 5.0
FINAL = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001 - they have no other names
"""Complaints after which no later one says more."""


def refused(kafka: Kafka, complaints: Sequence[KafkaError]) -> str:
    """The first that says most; "" where nothing was said."""
    for complaint in complaints:
        if complaint.code() == KafkaError._AUTHENTICATION and kafka.sasl is not None:  # noqa: SLF001
            return (
                f"Kafka does not take the user {kafka.sasl.username!r} with the password of "
                f"{kafka.sasl.password_file!r} by {kafka.sasl.mechanism}; check that file, or the "
                "user in Kafka."
            )
    for complaint in complaints:
        if complaint.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - follows from others
            return f"Kafka cannot be used: {complaint.str()}."
    return ""


def unreached(kafka: Kafka) -> Iterator[str]:
    """What keeps us from every one of the servers; nothing where one of them can be reached."""
    try:
        context = tls_context(kafka.tls) if kafka.tls is not None else None
    except OSError as error:  # ssl.SSLError is one
        yield f"The files of kafka.tls cannot be used ({_words(error)}); put PEM files there."
        return
    said = []
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            _connect(host, int(port), context)
        except OSError as error:
            said.append(_unreachable(server, error))
        else:
            return
    yield from said


def tls_context(tls: Tls) -> ssl.SSLContext:
    """With which brokers are spoken to. Raises OSError where a file cannot be used."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_pass_phrase)
    return context


def _no_pass_phrase(*_: Any) -> str:
    """Else OpenSSL would ask for one at the terminal."""
    return ""


def _connect(host: str, port: int, context: ssl.SSLContext | None) -> None:
    with socket.create_connection((host, port), timeout=_REACHED_S) as connection:
        if context is not None:
            with context.wrap_socket(connection, server_hostname=host):
                pass


def _unreachable(server: str, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"Kafka's {server} shows a certificate that cannot be accepted "
            f"({error.verify_message}); renew it, or name its authority in kafka.tls.caFile."
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"Kafka's {server} does not speak TLS as we do ({_words(error)}); name its listener "
            "with TLS, or leave kafka.tls out."
        )
    if isinstance(error, socket.gaierror):
        return f"Kafka's {server} has no address ({_words(error)}); check kafka.bootstrapServers."
    return (
        f"Kafka's {server} cannot be reached ({_words(error)}); check kafka.bootstrapServers, and "
        "that the network lets us through."
    )


def _words(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return str(reason or error)
