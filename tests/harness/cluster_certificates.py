"""
Who is who in a throw-away cluster: its certificate authority, which a folder holds, and what it
signs. To Kubernetes the common name is a user, and each organization a group.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, stem: Path) -> None:
        """As `stem`.pem and `stem`.key."""
        stem.with_suffix(".pem").write_bytes(self.certificate)
        write_private(stem.with_suffix(".key"), self.key)


class Authority:
    """The authority whose certificate and key are in this folder, as ca.pem and ca.key."""

    def __init__(self, folder: Path) -> None:
        self.certificate = (folder / "ca.pem").read_bytes()
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def certify(self, user: str, groups: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """For a client, and with `names` (DNS names and addresses) for a server too."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer = x509.load_pem_x509_certificate(self.certificate).subject
        builder = _begun(_subject(user, groups), issuer, key).add_extension(
            x509.ExtendedKeyUsage(usages if names else usages[:1]), critical=False
        )
        if names:
            found = x509.SubjectAlternativeName([_named(name) for name in names])
            builder = builder.add_extension(found, critical=False)
        return Pair(_pem(builder.sign(self._key, SHA256())), _private_pem(key))


def make_authority(folder: Path) -> Authority:
    """A new authority, written into the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("trackmate-throw-away", ())
    certificate = (
        _begun(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    Pair(_pem(certificate), _private_pem(key)).write(folder / "ca")
    return Authority(folder)


def make_key_pair(stem: Path) -> None:
    """A private key and its public half, as `stem`.key and `stem`.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(stem.with_suffix(".key"), _private_pem(key))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    stem.with_suffix(".pub").write_bytes(public)


def kubeconfig(url: str, authority: bytes, login: Pair | str, namespace: str = "default") -> str:
    """For one user of one cluster, who logs in with a certificate or with a token."""
    cluster = {"server": url, "certificate-authority-data": _base64(authority)}
    user = {"token": login} if isinstance(login, str) else _certified(login)
    context = {"cluster": "trackmate", "user": "trackmate", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "trackmate",
        "clusters": [{"name": "trackmate", "cluster": cluster}],
        "users": [{"name": "trackmate", "user": user}],
        "contexts": [{"name": "trackmate", "context": context}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_private(file: Path, content: bytes) -> None:
    """For its owner's eyes."""
    file.touch(mode=0o600)
    file.write_bytes(content)


def _certified(pair: Pair) -> dict[str, str]:
    return {
        "client-certificate-data": _base64(pair.certificate),
        "client-key-data": _base64(pair.key),
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
