"""The sinks, a module each. The contract that they keep is `trackmate_consume.sink`."""

from trackmate_consume.sink import (
    Disabled,
    Document,
    Down,
    Refused,
    Sink,
    Translated,
    Unfit,
)

__all__ = ["Disabled", "Document", "Down", "Refused", "Sink", "Translated", "Unfit"]
