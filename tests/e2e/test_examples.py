"""
Every example runs: its folder is followed without a fault, the line that `dev` prints for each
affiliate stores an event when pasted, and every pipeline delivers it. What an example says is to be
started beside it is started; its ports alone are changed, as they may be taken here.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ports import free_port
from postgres import programs, started
from running import start_in
from waiting_for import wait_until

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").iterdir())
RECEIVER = "receiver.py"
RECEIVER_PORT = "9090"
DATABASE = "database.sql"
DATABASE_PORT = "5432"


def marks(example: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.needs("postgres")] if (example / DATABASE).exists() else []


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    "example", [pytest.param(one, id=one.name, marks=marks(one)) for one in EXAMPLES]
)
def test_the_example_runs_and_takes_events(example: Path, tmp_path: Path) -> None:
    folder = tmp_path / example.name
    shutil.copytree(example, folder)
    with beside(folder), database(folder):
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


@contextmanager
def database(folder: Path) -> Iterator[None]:
    """Run a PostgreSQL made ready by the example's SQL, if it has any; the look must find a row."""
    script = folder / DATABASE
    if not script.exists():
        yield
        return
    with started() as server:
        server.run(script.read_text("utf-8"))
        [file] = [f for f in folder.glob("*.yaml") if f":{DATABASE_PORT}/" in f.read_text("utf-8")]
        file.write_text(file.read_text("utf-8").replace(DATABASE_PORT, str(server.port)), "utf-8")
        yield
        [look] = re.findall(r"^#   (psql postgresql:.*)$", file.read_text("utf-8"), re.MULTILINE)
        path = f"{programs()}:{os.environ['PATH']}"
        said = subprocess.check_output(["bash", "-c", look], env={"PATH": path}, text=True)
        assert "(1 row)" in said
