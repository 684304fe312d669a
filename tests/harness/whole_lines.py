"""
What a running program has written so far.
"""

from pathlib import Path


def whole_lines(log: Path) -> str:
    """Of its log: the last line may be half written, and a number in it half of one."""
    written = log.read_bytes()
    return written[: written.rfind(b"\n") + 1].decode()
