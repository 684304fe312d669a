"""
What the README tells a newcomer is what happens: its commands are run, in their order, on a copy of
this tree, with a port of the test's own in the place of 8080.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from loopback import LOOPBACK
from ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as a fresh clone has it, and what is not committed yet."""
    home = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, home / name, follow_symlinks=False)
    return home


@pytest.fixture(scope="module")
def running(copy: Path, port: int) -> Iterator[Path]:
    """`make dev`, as the README says, on a tree without an environment."""
    first, *_ = blocks(ROOT / "README.md")
    assert first.strip() == "make dev"
    with (copy / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "dev", f"PORT={port}"],
            cwd=copy,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
        )
    deadline = time.monotonic() + 100
    try:
        while not answers(port):
            assert process.poll() is None, (copy / "dev.log").read_text("utf-8")
            assert time.monotonic() < deadline, (copy / "dev.log").read_text("utf-8")
            time.sleep(0.1)
        yield copy
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", **LOOPBACK).is_success
    except httpx.TransportError:
        return False


def blocks(page: Path) -> list[str]:
    """The commands of a page: its fenced blocks of shell."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.needs("curl")
def test_the_commands_of_the_readme_do_what_it_says(running: Path, port: int) -> None:
    commands = "".join(blocks(ROOT / "README.md")[1:]).replace("8080", str(port))

    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        cwd=running,
        input=commands,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "1 event stored, in 1 request." in done.stdout
    assert '{"status":"stored","events":2}' in done.stdout
    assert "The books balance" in done.stdout
    assert '{"messageId": "3", "total": 12345678901234567890}' in done.stdout
    log = (running / "dev.log").read_text("utf-8")
    deadline = time.monotonic() + 5
    while "Affiliate 'globex' added" not in log:
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
        log = (running / "dev.log").read_text("utf-8")


@pytest.mark.needs("curl")
def test_the_curl_line_that_dev_prints_works_when_pasted(running: Path) -> None:
    [line] = re.findall(r"^curl .*$", (running / "dev.log").read_text("utf-8"), re.MULTILINE)

    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)

    assert done.stdout == '{"status":"stored","events":1}\n'


def test_make_help_names_every_command_of_the_makefile() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert [name for name in targets if f"make {name}" not in shown] == []


RUN = {
    "README.md": "here",
    "operator-kafka.md": "tests/operator/test_strimzi_verify.py",
    "sinks-couchbase.md": "tests/consume/test_couchbase_page.py and test_couchbase_verify.py",
}
"""Pages with commands, and what runs them."""


def test_no_page_has_commands_that_no_test_runs() -> None:
    pages = [*ROOT.glob("*.md")]
    pages += (ROOT / "docs").glob("*.md")
    assert {page.name for page in pages if blocks(page)} == set(RUN)
