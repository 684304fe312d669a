"""
Logging in to the data service: PLAIN, and SCRAM with SHA-1, SHA-256 and SHA-512 (RFC 5802, 7677).
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import new, pbkdf2_hmac
from secrets import token_hex

from couchbase_standin.state import User

_DIGESTS = {"SCRAM-SHA512": "sha512", "SCRAM-SHA256": "sha256", "SCRAM-SHA1": "sha1"}
MECHANISMS = b"SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN"
_ROUNDS = 4096


class Refused(Exception):  # noqa: N818 - what the server did
    """Whoever it is does not get in."""


def plain(users: Mapping[str, User], message: bytes) -> User:
    """Raises Refused."""
    _, name, password = message.split(b"\0")
    user = users.get(name.decode())
    if user is None or not hmac.compare_digest(user.password.encode(), password):
        raise Refused
    return user


class Scram:
    """One exchange: what the client says first, our challenge, its proof, ours."""

    def __init__(self, users: Mapping[str, User], mechanism: str, first: bytes) -> None:
        """Raises Refused."""
        self._digest = _DIGESTS[mechanism]
        self._first = first.removeprefix(b"n,,")
        said = _attributes(self._first)
        user = users.get(said["n"].replace("=2C", ",").replace("=3D", "="))
        if user is None:
            raise Refused
        self._user = user
        self._nonce = said["r"] + token_hex(12)
        salt = b64encode(user.salt).decode()
        self.challenge = f"r={self._nonce},s={salt},i={_ROUNDS}".encode()

    def finish(self, final: bytes) -> tuple[User, bytes]:
        """The user, and our own proof. Raises Refused."""
        said = _attributes(final)
        without_proof = final.rpartition(b",p=")[0]
        signed = b",".join([self._first, self.challenge, without_proof])
        salted = pbkdf2_hmac(self._digest, self._user.password.encode(), self._user.salt, _ROUNDS)
        client = self._mac(salted, b"Client Key")
        stored = new(self._digest, client).digest()
        proof = bytes(a ^ b for a, b in zip(client, self._mac(stored, signed), strict=True))
        if said["r"] != self._nonce or not hmac.compare_digest(b64decode(said["p"]), proof):
            raise Refused
        signature = self._mac(self._mac(salted, b"Server Key"), signed)
        return self._user, b"v=" + b64encode(signature)

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._digest)


def _attributes(message: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.decode().split(","))
