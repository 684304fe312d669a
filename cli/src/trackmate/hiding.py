"""
What of a spec may be secret, and is shown by its SHA-256: a difference is seen, the value is not.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any


def hidden(spec: Mapping[str, Any]) -> dict[str, Any]:
    """
    The same with the values of headers and a URL's query hidden.

    >>> sink = {"http": {"url": "https://b.example/in?token=abc", "method": "POST"}}
    >>> hidden({"sink": sink})["sink"]["http"]["url"]
    'https://b.example/in?sha256:906b1a00bc75e17c'
    """
    sink = spec.get("sink") or {}
    if not isinstance(sink.get("http"), Mapping):
        return dict(spec)
    http = dict(sink["http"])
    if "headers" in http:
        http["headers"] = [_header(header) for header in http["headers"]]
    if "?" in http.get("url", ""):
        url, _, query = http["url"].partition("?")
        http["url"] = f"{url}?{_digest(query)}"
    return {**spec, "sink": {**sink, "http": http}}


def _header(header: Mapping[str, Any]) -> dict[str, Any]:
    return {**header, "value": _digest(header["value"])} if "value" in header else dict(header)


def _digest(secret: str) -> str:
    """
    >>> _digest("token=abc")
    'sha256:906b1a00bc75e17c'
    """
    return f"sha256:{sha256(secret.encode()).hexdigest()[:16]}"
