"""
Signatures of the Standard Webhooks scheme, by which a receiver knows a request as ours, unchanged
and recent: HMAC-SHA256 over `id.timestamp.body`.
Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md, "Signature scheme".
"""

import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

_LEAST = 24  # bytes, as the scheme asks
_PREFIX = "whsec_"


@dataclass(frozen=True)
class Signer:
    """Signs with every key: while one is replaced by another, receivers may know either."""

    keys: tuple[bytes, ...] = field(repr=False)

    def signatures(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """
        The value of `webhook-signature`.

        >>> Signer((b"k" * 24,)).signatures("msg_1", 1, b"{}")
        'v1,Vmlv3+JA6+uwIIAIu7e/H4EIIl5fJFzZp8cyLkfxmYs='
        """
        signed = b"%b.%d.%b" % (webhook_id.encode(), timestamp, body)
        digests = [hmac.digest(key, signed, "sha256") for key in self.keys]
        return " ".join([f"v1,{b64encode(digest).decode()}" for digest in digests])


def signer_of(text: str) -> Signer:
    """
    From a Secret's value: one key, or several with white space or commas between. A key is `whsec_`
    and its base64, or any other text as it stands. Raises ValueError, without the value.

    >>> len(signer_of("whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB, and-one-of-thirty-characters").keys)
    2
    """
    keys = tuple(_key(word) for word in re.split(r"[\s,]+", text) if word)
    if not keys:
        raise ValueError(f"the signing secret is empty; put {_ASKED} there")
    return Signer(keys)


def _key(word: str) -> bytes:
    key = _decoded(word.removeprefix(_PREFIX)) if word.startswith(_PREFIX) else word.encode()
    if len(key) < _LEAST:
        raise ValueError(f"the signing secret has {len(key)} bytes; put {_ASKED} there")
    return key


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError(
            f"what follows {_PREFIX} in the signing secret is not base64; put {_ASKED} there"
        ) from None


_ASKED = f"{_LEAST} random bytes or more, as {_PREFIX} and their base64,"
