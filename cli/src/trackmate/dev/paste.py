"""
What a person pastes: the `curl` line and the page snippet, with an affiliate's own key and address.
"""

from collections.abc import Sequence

from trackmate.embedded.clock import now_ms
from trackmate.embedded.keybook import IssuedKey
from trackmate_ingest import sdk
from trackmate_ingest.keys import Use

_EVENT = '{"type":"track","event":"Hello","anonymousId":"me"}'


def pick(keys: Sequence[IssuedKey], use: Use | None = None) -> IssuedKey | None:
    """The newest key that works now, of one use or of any."""
    usable = [
        key
        for key in keys
        if (key.expires_ms is None or key.expires_ms > now_ms()) and use in {None, key.use}
    ]
    return max(usable, key=lambda key: key.created_ms, default=None)


def curl(keys: Sequence[IssuedKey], endpoint: str) -> str | None:
    """A line that stores one event when pasted into a shell."""
    key = pick(keys, Use.BROWSER) or pick(keys)  # a browser key is no secret
    if key is None:
        return None
    return (
        f"curl {endpoint}/v1/events -H 'Authorization: Bearer {key.value}' "
        f"-H 'Content-Type: application/json' -d '{_EVENT}'"
    )


def snippet(keys: Sequence[IssuedKey], endpoint: str, *, pinned: bool = False) -> str | None:
    """
    The script element for a page: always the newest SDK, or one version for ever, held to the
    digest of its bytes. None without a browser key that works now.
    """
    key = pick(keys, Use.BROWSER)
    if key is None:
        return None
    script = sdk.newest()
    source = f'src="{endpoint}/trackmate.js"'
    if pinned:
        source = f'src="{endpoint}{script.path}" integrity="{script.integrity}"'
        source += ' crossorigin="anonymous"'
    return f'<script async {source} data-key="{key.value}"></script>'
