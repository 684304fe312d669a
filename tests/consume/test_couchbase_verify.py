"""
`make verify-couchbase` asks the cluster that it is told, and leaves nothing behind there. Here that
is the stand-in, in a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
AS_IT_IS = ("-o", "setup")  # what is installed is being used


@contextmanager
def process() -> Iterator[dict[str, str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", "couchbase_standin"],
        cwd=ROOT / "tests" / "harness",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with started:
        assert started.stdin
        assert started.stdout
        yield json.loads(started.stdout.readline())
        started.stdin.close()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *AS_IT_IS, "verify-couchbase", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": "-x"},
        capture_output=True,
        text=True,
        check=False,
    )


def told(found: dict[str, str], password: str | None = None) -> list[str]:
    return [
        f"CONN={found['address']}",
        f"USERNAME={found['username']}",
        f"PASSWORD={password or found['password']}",
        f"MANAGEMENT={found['management']}",
    ]


@pytest.mark.timeout(300)
def test_the_suites_ask_the_cluster_that_is_named_and_clean_up() -> None:
    with process() as found:

        def asked(path: str) -> Any:
            login = found["username"], found["password"]
            return httpx.get(found["management"] + path, auth=login).json()

        done = make(*told(found))

        assert done.returncode == 0, done.stdout
        assert "Nothing: every test was run." in done.stdout
        assert asked("/pools/default/nodeServices")["rev"] > 10  # buckets made and dropped
        assert asked("/pools/default/buckets") == []
        assert [user["id"] for user in asked("/settings/rbac/users")] == [found["username"]]
        assert found["password"] not in done.stdout + done.stderr


def test_a_cluster_that_lets_nobody_in_is_no_success() -> None:
    with process() as found:
        assert make(*told(found, "wrong")).returncode != 0


@pytest.mark.parametrize("missing", ["", "CONN="])
def test_without_a_cluster_it_says_how_to_name_one(missing: str) -> None:
    done = make(*missing.split())

    assert done.returncode != 0
    assert "make verify-couchbase CONN=couchbases://HOST" in done.stdout
