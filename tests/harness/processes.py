"""
What the kernel says of processes that a test follows (proc(5)), and their end at once.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

from waiting_for import wait_until

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


def group(number: int) -> list[int]:
    """The processes of a group that have not ended."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _group_of(pid) == number and runs(pid)]


def cmdline(pid: int) -> str:
    """What it was started with, or calls itself since then; nothing of one that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")
    return ""


def kill(pid: int) -> None:
    """kill -9, and wait for the end."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not runs(pid), f"process {pid} has ended")


def kill_group(leader: Popen[bytes]) -> None:
    """kill -9 of all that a process of a session of its own has started, and wait for their end."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    wait_until(lambda: not group(leader.pid), f"the processes of group {leader.pid} have ended")


def connections(pid: int, port: int) -> int:
    """How many TCP connections over IPv4 to its port it has accepted and holds."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    accepted = {
        f"socket:[{inode}]"
        for _, local, _, state, *_, inode in (fields[:10] for fields in lines)
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    }
    return sum(_opened(fd) in accepted for fd in Path(f"/proc/{pid}/fd").iterdir())


def _group_of(pid: int) -> int:
    """0 of one that has ended."""
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _opened(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return "closed meanwhile"
