"""
What `trackmate doctor` finds, wherever it looks.
"""

from typing import NamedTuple


class Check(NamedTuple):
    """One look at one thing."""

    name: str
    passed: bool
    detail: str
    """What was found, and where it is wrong the cure."""
