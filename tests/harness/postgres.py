"""
A throw-away PostgreSQL for tests: a real server on a free port of this machine, with a folder of
its own that goes with it.

Its limits: nothing is synced to the disk unless `durable`; the superuser is let in from this
machine without a password, every other role by its password alone.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from ports import free_port
from processes import children, runs
from waiting_for import wait_until

ROOT = "postgres"
"""The superuser."""

_DEBIAN = Path("/usr/lib/postgresql")
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 40
fsync = {fsync}
shared_buffers = 16MB
log_min_messages = warning
"""
_LETS_IN = f"""
host all {ROOT} 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


@cache
def programs() -> Path | None:
    """The folder of initdb, postgres and psql: the newest of Debian's, else what the PATH has."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@dataclass
class Server:
    """One server; it may be stopped and started again."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        """For the superuser."""
        return self.url_of(ROOT)

    def url_of(self, login: str, database: str = "postgres") -> str:
        """For `ROLE` or `ROLE:PASSWORD`."""
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    @property
    def log(self) -> str:
        return (self.home / "log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Return once it answers."""
        with (self.home / "log").open("ab") as log:
            command = [_program("postgres"), "-D", str(self.data)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **nobody())
        wait_until(self._answers, "PostgreSQL answers", seconds=60)

    def stop(self, how: int = 2) -> None:
        """2 (SIGINT) ends every connection; 9 is kill -9, and its processes end by themselves."""
        assert self.process is not None
        served_by = children(self.process.pid)
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.process = None
        wait_until(lambda: not any(map(runs, served_by)), "its processes end", seconds=60)

    def set(self, *lines: str) -> None:
        """Lines of postgresql.conf, for the next start."""
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join([*lines, ""]))

    def put(self, name: str, content: bytes) -> None:
        """A file of its data folder that is its own alone."""
        file = self.data / name
        file.write_bytes(content)
        file.chmod(0o600)
        owner = self.data.stat()
        os.chown(file, owner.st_uid, owner.st_gid)

    def sql(self, *statements: str, database: str = "postgres") -> list[list[str]]:
        """Run them as the superuser, one after the other; the rows of all, as text."""
        command = [_program("psql"), "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command += [part for statement in statements for part in ("-c", statement)]
        done = subprocess.run(
            [*command, self.url_of(ROOT, database)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def run(self, script: str) -> None:
        """Run a script as the superuser, as `psql` does that is fed it."""
        command = [_program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", self.url]
        done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def value(self, statement: str) -> str:
        [[value]] = self.sql(statement)
        return value

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        asked = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0


@asynccontextmanager
async def holding(server: Server, *statements: str) -> AsyncIterator[Any]:
    """Somebody else's transaction, in which these were run and which is not ended yet."""
    connection = await asyncpg.connect(server.url, ssl=False)
    try:
        await connection.execute("BEGIN")
        for statement in statements:
            await connection.execute(statement)
        yield connection
    finally:
        await connection.close()


@contextmanager
def started(*, durable: bool = False, settings: Sequence[str] = ()) -> Iterator[Server]:
    """A new server. It ends with all of its processes."""
    with tempfile.TemporaryDirectory(prefix="trackmate-postgres-") as folder:
        home = Path(folder)
        server = _made(home, durable=durable, settings=settings)
        server.start()
        try:
            yield server
        finally:
            if server.process is not None:
                server.stop()


def _made(home: Path, *, durable: bool, settings: Sequence[str]) -> Server:
    owner = nobody()
    if owner:
        os.chown(home, owner["user"], owner["group"])
    made = [_program("initdb"), "-D", str(home / "data"), "-U", ROOT, "-E", "UTF8", "--locale=C"]
    done = subprocess.run(
        [*made, "--no-sync", "--auth=trust"], capture_output=True, check=False, **owner
    )
    assert done.returncode == 0, done.stderr.decode()
    server = Server(home, free_port())
    lines = _SETTINGS.format(port=server.port, fsync="on" if durable else "off")
    server.set(lines, *settings)
    server.put("pg_hba.conf", _LETS_IN.encode())
    return server


def _program(name: str) -> str:
    folder = programs()
    assert folder is not None, "no PostgreSQL: mark the test needs('postgres')"
    return str(folder / name)


def nobody() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
