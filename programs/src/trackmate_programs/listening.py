"""
Where a program listens, as its settings say it.
"""

from typing import Annotated

from pydantic import Field

from trackmate_contract.leaves import Whole, text
from trackmate_contract.settings import Settings

Address = Annotated[
    str,
    text(
        "an address to listen on",
        "an IP address or a name of this machine, like '0.0.0.0'",
        pattern=r"^[A-Za-z0-9.:-]+$",
        longest=253,
    ),
]
Port = Annotated[Whole, Field(ge=0, le=65_535)]


class MetricsAt(Settings):
    host: Address = "0.0.0.0"
    """Where Prometheus metrics are served."""
    port: Port = 9090
    """TCP port for metrics; 0 takes any that is free."""
