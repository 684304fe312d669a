"""
Content encodings, opened with a cap: a bomb costs no more than the largest body allowed.
"""

import zlib

from trackmate_ingest import problems
from trackmate_ingest.problems import Refused

ENCODINGS = (b"gzip", b"deflate")
_MOST_MEMBERS = 16  # each costs a copy of what follows it
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS  # what some clients send as deflate, against RFC 9110 8.4.1.2


def inflate(body: bytes, encoding: bytes, *, limit: int) -> bytes:
    """
    Undo one content encoding. Raises Refused: 415 for an encoding not taken, 413 above `limit`
    bytes, 400 for a damaged body.

    >>> inflate(zlib.compress(b"{}"), b"deflate", limit=10)
    b'{}'
    """
    name = encoding.strip().lower()
    if name == b"identity":
        return body
    if name in {b"gzip", b"x-gzip"}:
        return _members(body, _GZIP, limit)
    if name == b"deflate":
        return _members(body, _ZLIB if _is_zlib(body) else _RAW_DEFLATE, limit)
    raise Refused(
        problems.UNSUPPORTED,
        f"Content-Encoding {name.decode('latin-1')!r} is not taken. "
        "Send gzip, deflate or no encoding, and only one of them.",
        headers=[(b"accept-encoding", b", ".join(ENCODINGS))],
    )


def _is_zlib(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0


def _members(body: bytes, wbits: int, limit: int) -> bytes:
    """A gzip body may have several members (RFC 1952 2.2); deflate has one."""
    out = b""
    for _ in range(_MOST_MEMBERS):
        opened = zlib.decompressobj(wbits)
        try:
            out += opened.decompress(body, limit + 1 - len(out))
        except zlib.error as error:
            raise _damaged(f"it breaks off or is damaged ({error})") from None
        if len(out) > limit:
            raise Refused(
                problems.TOO_LARGE,
                f"The body is over {limit} bytes when decompressed. Send smaller batches.",
                limit=limit,
            )
        if not opened.eof:
            raise _damaged("it breaks off")
        if not opened.unused_data:
            return out
        if wbits != _GZIP:
            raise _damaged("bytes follow its end")
        body = opened.unused_data
    raise _damaged(f"it has more than {_MOST_MEMBERS} members")


def _damaged(why: str) -> Refused:
    return Refused(
        problems.MALFORMED,
        f"The body is not what its Content-Encoding says: {why}. Send it whole.",
    )
