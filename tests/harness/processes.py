"""
What the kernel says of processes that a test follows (proc(5)).
"""

from pathlib import Path

_ESTABLISHED = "01"


def children(pid: int) -> list[int]:
    """The processes that it started and that it has not yet waited for."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def runs(pid: int) -> bool:
    """Whether it has not ended; one that nobody waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def connections(pid: int, port: int) -> int:
    """How many TCP connections over IPv4 to its port it has accepted and holds."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    accepted = {
        f"socket:[{inode}]"
        for _, local, _, state, *_, inode in (fields[:10] for fields in lines)
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    }
    return sum(_opened(fd) in accepted for fd in Path(f"/proc/{pid}/fd").iterdir())


def _opened(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return "closed meanwhile"
