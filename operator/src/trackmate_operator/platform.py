"""
What the platform gives to every affiliate: its settings, with what they name the files of.
"""

from dataclasses import dataclass, field

from trackmate_operator.settings import OperatorSettings


@dataclass(frozen=True)
class Platform:
    """As it is in force."""

    settings: OperatorSettings
    root: bytes = field(repr=False)
    """What all write keys, and the passwords that the operator makes, are derived from."""
    kafka_ca: str = ""
    """PEM of the authorities of brokers' certificates, for the affiliates' programs."""
