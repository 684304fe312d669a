"""
The web SDK, as pages load it from their affiliate's own host. A version that was released is served
for ever and never changes: pages name it with the digest of its bytes (W3C Subresource Integrity).
"""

import gzip
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, sha384
from importlib.resources import files

_NAME = re.compile(r"trackmate-(\d+)\.(\d+)\.(\d+)\.js")

NEWEST_S = 3600
"""How long a browser may keep `/trackmate.js`, which is the newest version."""
PINNED_S = 365 * 24 * 3600


@dataclass(frozen=True)
class Script:
    """One version."""

    version: str
    content: bytes
    packed: bytes
    """The same, gzipped."""

    @property
    def path(self) -> str:
        """
        Where it stays.

        >>> Script("0.1.0", b"", b"").path
        '/trackmate-0.1.0.js'
        """
        return f"/trackmate-{self.version}.js"

    @property
    def integrity(self) -> str:
        """For the attribute `integrity` of a script element."""
        return f"sha384-{b64encode(sha384(self.content).digest()).decode()}"

    @property
    def etag(self) -> str:
        """As RFC 9110 8.8.3 has it."""
        return f'"{sha256(self.content).hexdigest()[:32]}"'


@cache
def scripts() -> Mapping[str, Script]:
    """By version, the oldest first."""
    found = {}
    for file in (files("trackmate_ingest") / "web").iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            found[tuple(map(int, match.groups()))] = file.read_bytes()
    versions = {".".join(map(str, version)): found[version] for version in sorted(found)}
    return {
        version: Script(version, content, gzip.compress(content, 9, mtime=0))
        for version, content in versions.items()
    }


def newest() -> Script:
    return [*scripts().values()][-1]
