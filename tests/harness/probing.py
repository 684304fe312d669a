"""
Probes: events that a test tracks on pages of its own, each under a name, and looks for in the log
of an instance.
"""

import json
from dataclasses import dataclass, field

from running import Dev, Stored
from waiting_for import wait_until
from web_gateway import WebGateway


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


@dataclass
class Probed:
    """The pages of one test, on another origin than ingest's, and what was tracked on them."""

    gateway: WebGateway
    dev: Dev
    tracked: set[str] = field(default_factory=set)

    def at(self, path: str = "/") -> str:
        return f"http://localhost:{self.gateway.port}/site{path}"

    def stored(self) -> dict[str, list[Stored]]:
        """The probes that the instance has, by their names; those of one name are repeats."""
        found: dict[str, list[Stored]] = {}
        for event in self.dev.tail():
            document = json.loads(event.value)
            if document.get("event") == "Probe":
                found.setdefault(document["properties"]["name"], []).append(event)
        return {name: events for name, events in found.items() if name in self.tracked}

    def settles(self, seconds: float = 40) -> None:
        """All is stored; and what came twice came with the same id and bytes."""
        wait_until(
            lambda: {*self.stored()} == self.tracked,
            "all that was tracked is stored",
            seconds=seconds,
        )
        for name, events in self.stored().items():
            assert len({(event.id, event.value) for event in events}) == 1, name
        assert self.gateway.methods["OPTIONS"] == 0, "a preflight was sent"
