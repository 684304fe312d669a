"""
A process that keeps a control plane in a folder, behind the back of whoever asked for it.

`python cluster_keeper.py FOLDER` keeps it until it is told to end; with the id of a process as a
second argument, no longer than that one runs. The folder's `keeper` holds its own id, and is locked
as long as it lives; `ready` is there once the control plane answers.
"""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster_access import Cluster
from control_plane import control_plane
from processes import runs
from waiting_for import wait_until

_LOOK_S = 0.5


def keep(home: Path, whose: int | None = None) -> Cluster:
    """The cluster in this folder, with both CRDs; started if none is there."""
    home.mkdir(parents=True, exist_ok=True)
    while not (home / "ready").exists() or keeper(home) is None:
        _begin(home, whose)
    return Cluster(home, (home / "ready").read_text("utf-8"))


def keeper(home: Path) -> int | None:
    """The process that keeps a control plane there, if there is one."""
    try:
        file = (home / "keeper").open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def end(home: Path) -> bool:
    """Stop it and what it keeps; False where nobody keeps anything."""
    pid = keeper(home)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: keeper(home) is None, "the control plane ends", seconds=30)
    return pid is not None


def _begin(home: Path, whose: int | None) -> None:
    with (home / "starting").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if keeper(home) is not None:
            return
        (home / "ready").unlink(missing_ok=True)
        command = [sys.executable, __file__, str(home), *([str(whose)] if whose else [])]
        with (home / "keeper.log").open("wb") as log:
            subprocess.run(command, stdout=log, stderr=log, check=True)
        wait_until(
            lambda: (home / "ready").exists() or keeper(home) is None,
            "a control plane answers",
            seconds=120,
        )
        assert (home / "ready").exists(), (home / "keeper.log").read_text("utf-8")


def main(home: Path, whose: int | None) -> None:
    """Return in the process that was started; what keeps is a child of it, in its own session."""
    with (home / "keeper").open("a+") as claim:
        child = os.fork()
        if child:  # who finds it locked must find the id in it
            claim.truncate(0)
            claim.write(str(child))
            claim.flush()
            fcntl.flock(claim, fcntl.LOCK_EX)  # the child's too, and held until it ends
            return
        os.setsid()
        _keep(home, whose)


def _keep(home: Path, whose: int | None) -> None:
    with control_plane(home) as plane:
        plane.install_crds()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        (home / "ready").write_text(plane.url, "utf-8")
        while signal.sigtimedwait([signal.SIGTERM, signal.SIGINT], _LOOK_S) is None:
            if plane.ended() or (whose is not None and not runs(whose)):
                break
        (home / "ready").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
