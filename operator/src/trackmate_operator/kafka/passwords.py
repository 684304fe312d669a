"""
The passwords of Kafka users: derived, as write keys are, so that a cluster made anew with the same
root secret has the same. Pure.
"""

import hmac
from base64 import b32encode
from hashlib import sha256

_DOMAIN = "trackmate kafka password"  # with it there are four fields; keybook.derive has three
_LEAST, _STEPS = 4097, 1023  # neither 4096 nor 8192, which people and tools choose


def password(root: bytes, affiliate_id: str, user: str, generation: int) -> str:
    """
    32 characters, 160 bits. None of the names holds a NUL.

    >>> password(b"root", "af-1", "acme-ingest", 1) == password(b"root", "af-1", "acme-ingest", 1)
    True
    >>> password(b"root", "af-1", "acme-ingest", 1) == password(b"root", "af-2", "acme-ingest", 1)
    False
    """
    text = f"{_DOMAIN}\0{affiliate_id}\0{user}\0{generation}".encode()
    return b32encode(hmac.new(root, text, sha256).digest()[:20]).decode().lower()


def iterations(secret: str) -> int:
    """
    How often SCRAM hashes this password: 4,097 to 5,119, by the password itself.

    Kafka shows this number and not the password, so that one that somebody set by hand is seen by
    it, but for one in a thousand.
    """
    digest = sha256(secret.encode()).digest()
    return _LEAST + int.from_bytes(digest[:4], "big") % _STEPS
