"""
How somebody else's Kafka lets us in: what the Secret of `spec.sink.kafka` says, as settings of
librdkafka. Certificates are always verified, names included.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from trackmate_consume.sink import Unfit
from trackmate_consume.sinks.secret import Secret, found
from trackmate_consume.sinks.trust import add_authority
from trackmate_contract.pipeline import Kafka
from trackmate_contract.specs import SecretKeyRef

PATH = "spec.sink.kafka.credentialsSecretRef"
NEEDED = ("username", "password")
"""Keys of the Secret."""
OPTIONAL = ("mechanism", "tls", "ca.crt")

_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True)
class Login:
    """Secrets included."""

    client: Mapping[str, str] = field(repr=False)
    """Settings of librdkafka."""
    encrypted: bool
    mechanism: str = ""
    """How the password is proved; "" without a login."""


def login_of(spec: Kafka, secret: Secret) -> Login:
    """
    Without a Secret neither login nor TLS. Raises Unfit.

    >>> open_to_all = Kafka.model_validate({"bootstrapServers": "a.example:9092", "topic": "t"})
    >>> login_of(open_to_all, lambda ref: None).client
    {'security.protocol': 'PLAINTEXT'}
    """
    if spec.credentials_secret_ref is None:
        return Login({"security.protocol": "PLAINTEXT"}, encrypted=False)
    name = spec.credentials_secret_ref.name
    user, password = (_line(found(_ref(name, key), secret, PATH)) for key in NEEDED)
    encrypted = _encrypted(name, secret)
    mechanism = _mechanism(name, secret, encrypted=encrypted)
    client = {
        "security.protocol": "SASL_SSL" if encrypted else "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        **_authority(name, secret),
    }
    return Login(client, encrypted, mechanism)


def _ref(name: str, key: str) -> SecretKeyRef:
    return SecretKeyRef(name=name, key=key)


def _line(text: str) -> str:
    """What a file of one line says: many a Secret is made of one."""
    return text.rstrip("\r\n")


def _encrypted(name: str, secret: Secret) -> bool:
    said = _line(secret(_ref(name, "tls")) or "true")
    if said not in {"true", "false"}:
        raise Unfit(PATH, f"what Secret {name!r} has under 'tls' is not true or false; write one")
    if said == "false" and secret(_ref(name, "ca.crt")) is not None:
        raise Unfit(
            PATH, f"Secret {name!r} has a 'ca.crt', and 'tls' is false; remove one of the two"
        )
    return said == "true"


def _mechanism(name: str, secret: Secret, *, encrypted: bool) -> str:
    said = _line(secret(_ref(name, "mechanism")) or _MECHANISMS[0])
    if said not in _MECHANISMS:
        raise Unfit(
            PATH,
            f"what Secret {name!r} has under 'mechanism' is not there; write one of "
            f"{', '.join(_MECHANISMS)}",
        )
    if said == "PLAIN" and not encrypted:
        raise Unfit(
            PATH,
            f"Secret {name!r} asks for PLAIN without TLS, which shows the password to whoever "
            "listens; remove its 'tls', or take SCRAM-SHA-512",
        )
    return said


def _authority(name: str, secret: Secret) -> dict[str, str]:
    pem = secret(_ref(name, "ca.crt"))
    if pem is None:
        return {}
    add_authority(ssl.create_default_context(), _ref(name, "ca.crt"), secret, PATH)
    return {"ssl.ca.pem": pem}
