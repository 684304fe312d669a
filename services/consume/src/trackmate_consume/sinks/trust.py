"""
Whom a connection by TLS trusts, and what is wrong with a certificate in words.
"""

import ssl

from trackmate_consume.sink import Unfit
from trackmate_consume.sinks.secret import Secret, found
from trackmate_contract.specs import SecretKeyRef

_FAULTS = {  # X509_V_ERR_…: OpenSSL's x509_vfy.h
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself; put it into {authority} to trust it",
    19: "is from an unknown authority; put that into {authority} to trust it",
    20: "is from an unknown authority; put that into {authority} to trust it",
    21: "is from an unknown authority; put that into {authority} to trust it",
    62: "is for another name",
    64: "is for another address",
}


def add_authority(trust: ssl.SSLContext, ref: SecretKeyRef, secret: Secret, path: str) -> None:
    """Trust the authority that a Secret holds too. Raises Unfit."""
    pem = found(ref, secret, path)
    try:
        trust.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):  # the last for text beyond ASCII
        raise Unfit(
            path,
            f"what Secret {ref.name!r} has under {ref.key!r} is not a certificate in PEM; put the "
            "authority's there, from BEGIN to END CERTIFICATE",
        ) from None


def certificate_words(fault: Exception, authority: str = "tls.caSecretRef") -> str:
    """What a peer's certificate is. `authority`: where one is declared."""
    code = getattr(fault, "verify_code", None)
    known = _FAULTS.get(code or 0)
    if known is None:
        return f"its certificate is refused: {getattr(fault, 'verify_message', 'it does not hold')}"
    return f"its certificate {known.format(authority=authority)}"
