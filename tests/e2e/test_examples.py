"""
Every example runs: its folder is followed as it is, without a fault, and the line that `dev` prints
for each affiliate stores an event when pasted.
"""

import re
import subprocess
from pathlib import Path

import pytest

from running import start_in

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").iterdir())


@pytest.mark.needs("curl")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_the_example_runs_and_takes_events(example: Path, tmp_path: Path) -> None:
    dev = start_in(tmp_path, str(example), "--port", "0")
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
