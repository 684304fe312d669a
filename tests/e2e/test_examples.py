"""
Every example runs: its folder is followed without a fault, the line that `dev` prints for each
affiliate stores an event when pasted, and every pipeline delivers it. What an example says is to be
started beside it is started; its ports alone are changed, as they may be taken here.
"""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from running import start_in
from waiting_for import wait_until

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").iterdir())
RECEIVER = "receiver.py"
RECEIVER_PORT = "9090"


@pytest.mark.needs("curl")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_the_example_runs_and_takes_events(example: Path, tmp_path: Path) -> None:
    folder = tmp_path / example.name
    shutil.copytree(example, folder)
    with beside(folder):
        dev = start_in(tmp_path, str(folder), "--port", "0")
        try:
            status = dev.read("status")
            lines = re.findall(r"^curl .*$", dev.log, re.MULTILINE)
            stored = [subprocess.check_output(["bash", "-c", line], stderr=-3) for line in lines]

            assert status["faults"] == []
            assert len(stored) == len(status["affiliates"]) > 0
            assert set(stored) == {b'{"status":"stored","events":1}\n'}
            assert all(dev.settle(one["name"])["balanced"] for one in status["affiliates"])
        finally:
            assert dev.stop() == 0


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Run the example's receiver, if it has one, which must have taken something at the end."""
    program = folder / RECEIVER
    if not program.exists():
        yield
        return
    port = str(free_port())
    for file in folder.glob("*.yaml"):
        file.write_text(file.read_text("utf-8").replace(f":{RECEIVER_PORT}/", f":{port}/"), "utf-8")
    said = folder / "receiver.log"
    with said.open("wb") as log:
        process = subprocess.Popen([sys.executable, program, port], stdout=log, stderr=log)
    try:
        wait_until(lambda: port in said.read_text("utf-8"), "the receiver waits")
        yield
        assert len(said.read_text("utf-8").splitlines()) > 1
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
