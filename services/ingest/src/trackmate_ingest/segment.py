"""
What Segment's browser SDK asks for at start.
"""

from typing import Any


def settings(key: str, *, host: str, scheme: str) -> dict[str, Any]:
    """
    The settings document of `@segment/analytics-next`: one destination, this server, and no plan
    that filters. Read from its source, packages/browser/src/browser/settings.ts (1.84).
    """
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": f"{host}/v1",
                "protocol": scheme,
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            }
        },
        "plan": {"track": {"__default": {"enabled": True}}},
        "metrics": {"sampleRate": 0},
        "edgeFunction": {},
        "remotePlugins": [],
    }
