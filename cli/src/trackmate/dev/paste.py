"""
What a person pastes: the `curl` line and the page snippet, with an affiliate's own key and address.
"""

from collections.abc import Sequence

from trackmate.embedded.clock import now_ms
from trackmate.embedded.keybook import IssuedKey
from trackmate_ingest.keys import Use

_EVENT = '{"type":"track","event":"Hello","anonymousId":"me"}'

_SNIPPET = """\
<script>
  window.track = function (event, properties, type) {{
    let visitor;
    try {{
      visitor = localStorage["trackmate.anonymousId"] ||= crypto.randomUUID();
    }} catch {{}}  // storage may be forbidden
    fetch("{endpoint}/v1/events?key={key}", {{
      method: "POST",
      keepalive: true,
      headers: {{ "Content-Type": "text/plain" }},
      body: JSON.stringify({{
        messageId: crypto.randomUUID(),
        anonymousId: visitor,
        type: type || "track",
        event: event,
        properties: properties || {{}},
        timestamp: new Date().toISOString(),
        context: {{ page: {{ url: location.href, title: document.title }} }}
      }})
    }}).catch(function () {{}});
  }};
  track("Page Viewed", {{}}, "page");
</script>"""


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


def snippet(keys: Sequence[IssuedKey], endpoint: str) -> str | None:
    """What to paste into a page, until the SDK exists."""
    key = pick(keys, Use.BROWSER)
    return _SNIPPET.format(endpoint=endpoint, key=key.value) if key else None
