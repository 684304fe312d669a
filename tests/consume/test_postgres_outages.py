"""
The sink `postgres` and servers that are down, full, slow, strange or read only: an outage in words
without secrets, and every event once when it is over.
"""

import asyncio
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trustme

from handing import RUNNERS, fault, hand, opened, placed, postgres_sink
from postgres import ROOT, Server, holding, started
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Unfit
from waiting_for import wait_until

pytestmark = pytest.mark.needs("postgres")

PASSWORD = "canary-4f1d9a7c"
NEW = Outcome.DELIVERED
NOT_LET_IN = "answered 28P01: the server refuses the user or the password; mend them in the Secret"
NO_DATABASE = (
    "answered 3D000: the server has no such database; make it, or mend its name in the Secret"
)
NO_ENTRY = (
    "answered 28000: the server lets nobody in like this: its pg_hba.conf decides by user, "
    "database, address and TLS"
)
NOT_MADE = (
    "the role may not use the schema of the table '{0}.events', or not make a table in it; "
    "GRANT USAGE, CREATE ON SCHEMA {0}, or make the table yourself"
)
NOT_POSTGRES = "what was answered is not PostgreSQL"
UNKNOWN_AUTHORITY = (
    "its certificate is from an unknown authority; put that into tls.caSecretRef to trust it"
)
numbers = count()


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as running:
        running.sql(
            f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'",
            "CREATE SCHEMA closed",
            "CREATE SCHEMA open",
            "GRANT USAGE ON SCHEMA open TO app",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
        yield running


@pytest.fixture
def table() -> str:
    return f"t{next(numbers)}"


def rows(server: Server, table: str) -> int:
    return int(server.value(f"SELECT count(*) FROM {table}"))


def refusal(connection: str, table: str = "events", **more: Any) -> Exception:
    return asyncio.run(fault(hand(postgres_sink(connection, table, **more), placed(0, "a"))))


# logging in


def test_a_role_with_a_password_writes(server: Server, table: str) -> None:
    server.sql("CREATE SCHEMA app AUTHORIZATION app")

    outcomes = asyncio.run(
        hand(
            postgres_sink(server.url_of(f"app:{PASSWORD}"), f"app.{table}"),
            placed(0, "a"),
        )
    )

    assert outcomes == [NEW]


@pytest.mark.parametrize(
    ("login", "database", "said"),
    [
        ("app:wrong", "postgres", NOT_LET_IN),
        (f"nobody:{PASSWORD}", "postgres", NOT_LET_IN),
        (f"app:{PASSWORD}", PASSWORD, NO_DATABASE),
    ],
)
def test_who_is_not_let_in_is_told_so_without_the_string(
    server: Server, login: str, database: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    refused = refusal(server.url_of(login, database))

    assert isinstance(refused, Down)
    assert str(refused) == said
    assert PASSWORD not in caplog.text


def test_the_environment_of_the_pod_is_not_looked_at(
    server: Server, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same YAML means the same on a laptop where somebody uses psql."""
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
    passfile.chmod(0o600)
    for name, value in {
        "PGHOST": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "somebody",
        "PGPASSWORD": PASSWORD,
        "PGPASSFILE": str(passfile),
        "PGDATABASE": "other",
        "PGSSLMODE": "verify-full",
        "PGSSLNEGOTIATION": "direct",
        "PGSERVICE": "none",
        "PGTARGETSESSIONATTRS": "standby",
        "PGGSSLIB": "none",
        "PGOPTIONS": "-c nonsense=1",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)

    assert asyncio.run(hand(postgres_sink(server.url, table), placed(0, "a"))) == [NEW]
    assert "28P01" in str(refusal(server.url_of("app")))


# privileges


def test_a_role_that_may_not_make_the_table_is_told_what_to_grant(server: Server) -> None:
    url = server.url_of(f"app:{PASSWORD}")

    said = [refusal(url, table) for table in ("closed.events", "open.events", "nowhere.events")]

    assert all(isinstance(one, Unfit) and one.path == "spec.sink.postgres.table" for one in said)
    assert [str(one) for one in said] == [
        NOT_MADE.format("closed"),
        NOT_MADE.format("open"),
        "the table 'nowhere.events' cannot be made, as there is no schema for it; CREATE SCHEMA",
    ]


def test_a_role_with_just_what_it_needs_writes(server: Server, table: str) -> None:
    """The table made by somebody else: no CREATE, no ownership."""
    asyncio.run(hand(postgres_sink(server.url, f"open.{table}"), placed(0, "a")))
    sink = postgres_sink(server.url_of(f"app:{PASSWORD}"), f"open.{table}")
    again = placed(0, "a", b"1")

    server.sql(f"GRANT SELECT, INSERT ON open.{table} TO app")
    lacking = asyncio.run(fault(hand(sink, again)))
    server.sql(f"GRANT UPDATE, DELETE ON open.{table} TO app")

    assert str(lacking).startswith(
        f"the table 'open.{table}' does not let the role UPDATE, DELETE; grant it"
    )
    assert asyncio.run(hand(sink, again, placed(1, "a", value=b"2"))) == [NEW, Outcome.CONFLICT]


# outages


def test_a_server_that_is_down_is_an_outage_and_then_all_is_there_once(
    table: str, run: Callable[..., Any]
) -> None:
    with started() as server:

        async def through() -> list[Any]:
            sink = postgres_sink(server.url, table)
            async with opened(sink):
                await sink.write([placed(0, "a")])
                server.stop()
                down = [await fault(sink.write([placed(0, "a"), placed(1, "b")])) for _ in range(2)]
                server.start()
                return [*down, *await sink.write([placed(0, "a"), placed(1, "b")])]

        first, second, *outcomes = run(through())

        assert isinstance(first, Down)
        assert isinstance(second, Down)
        assert str(second) == "cannot be connected to: connection refused"
        assert outcomes == [NEW, NEW]
        assert rows(server, table) == 2


def test_a_sink_that_could_not_be_opened_opens_later(table: str, run: Callable[..., Any]) -> None:
    with started() as server:
        server.stop()

        async def through() -> Exception:
            sink = postgres_sink(server.url, table)
            down = await fault(sink.open())
            server.start()
            async with opened(sink):
                await sink.write([placed(0, "a")])
            return down

        assert isinstance(run(through()), Down)
        assert rows(server, table) == 1


def test_a_server_that_dies_within_a_batch_has_all_of_it_or_nothing(
    table: str, run: Callable[..., Any]
) -> None:
    """The server is killed while the batch waits for a lock in it; it keeps what it committed."""
    batch = [placed(n, f"e-{n:03}") for n in range(100)]
    with started(durable=True) as server:
        run(hand(postgres_sink(server.url, table), *batch[:10]))

        async def through() -> Exception:
            sink = postgres_sink(server.url, table)
            async with opened(sink), holding(server, f"DELETE FROM {table} WHERE id = 'e-005'"):
                writing = asyncio.create_task(sink.write(batch))
                await _until_waiting(server)
                server.stop(9)
                return await fault(_of(writing))

        assert isinstance(run(through()), Down)
        server.start()
        assert rows(server, table) == 10
        assert run(hand(postgres_sink(server.url, table), *batch)) == [NEW] * 100
        assert rows(server, table) == 100


def test_a_connection_that_is_ended_is_made_anew(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query !~ 'terminate'"

    async def through() -> list[Any]:
        sink = postgres_sink(server.url, table)
        async with opened(sink):
            await sink.write([placed(0, "a")])
            async with holding(server, f"LOCK TABLE {table}"):
                writing = asyncio.create_task(sink.write([placed(1, "b")]))
                await _until_waiting(server)
                await asyncio.to_thread(server.sql, f"{end_all} AND application_name = 'trackmate'")
                down = await fault(_of(writing))
            return [down, *await sink.write([placed(0, "a"), placed(1, "b")])]

    down, *outcomes = run(through())

    assert isinstance(down, Down)
    assert str(down) == (
        "connection was closed in the middle of operation: terminating connection due to "
        "administrator command"
    )
    assert outcomes == [NEW, NEW]
    assert rows(server, table) == 2


def test_an_idle_connection_that_was_ended_costs_nothing(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    """As a firewall or a failover does it between two batches."""

    async def through() -> Any:
        sink = postgres_sink(server.url, table)
        async with opened(sink):
            await sink.write([placed(0, "a")])
            await asyncio.to_thread(
                server.sql,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'trackmate'",
            )
            await asyncio.sleep(0)  # what the server said is read
            return await sink.write([placed(1, "b")])

    assert run(through()) == [NEW]


def test_a_lock_of_somebody_else_is_an_outage_that_ends(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    async def through() -> list[Any]:
        sink = postgres_sink(server.url, table, statement_s=0.3)
        async with opened(sink):
            await sink.write([placed(0, "a")])
            async with holding(server, f"LOCK TABLE {table}"):
                down = await fault(sink.write([placed(1, "b")]))
                left = await asyncio.to_thread(_waiting, server)
            return [down, left, await sink.write([placed(1, "b")])]

    down, left, outcomes = run(through())

    assert isinstance(down, Down)
    assert str(down) == (
        "answered 57014: canceling statement due to statement timeout; something holds the table "
        "or its rows, or the server is slow"
    )
    assert left == 0
    assert outcomes == [NEW]


def test_a_deadlock_with_somebody_else_is_an_outage(server: Server, table: str) -> None:
    url = f"{server.url}?options=-c%20deadlock_timeout%3D3s"
    insert_a = (
        f"INSERT INTO {table} SELECT 'a', part, stream, conflict, partition, \"offset\", received, "
        f"fingerprint, document FROM {table} WHERE id = 'c'"
    )

    async def through() -> Any:
        sink = postgres_sink(url, table)
        async with opened(sink):
            await sink.write([placed(0, "b"), placed(1, "c")])
            async with holding(
                server, "SET LOCAL deadlock_timeout = '1h'", f"DELETE FROM {table} WHERE id = 'b'"
            ) as other:
                writing = asyncio.create_task(sink.write([placed(2, "a"), placed(0, "b")]))
                await _until_waiting(server)
                crossing = asyncio.create_task(other.execute(insert_a))
                down = await fault(_of(writing))
                await crossing
                await other.execute("ROLLBACK")
            return down, await sink.write([placed(2, "a"), placed(0, "b")])

    down, outcomes = asyncio.run(through())

    assert isinstance(down, Down)
    assert str(down) == "answered 40P01: deadlock detected"
    assert outcomes == [NEW, NEW]


def test_a_server_that_only_reads_is_an_outage(table: str) -> None:
    with started(settings=["default_transaction_read_only = on"]) as server:
        assert "answered 25006: " in str(refusal(server.url, table))

        _become_standby(server)
        assert str(refusal(server.url)) == "it is a standby, which only reads; name the primary too"


def test_of_several_hosts_the_primary_is_written_to(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    with started() as standby:
        _become_standby(standby)
        hosts = f"127.0.0.1:1,127.0.0.1:{standby.port},127.0.0.1:{server.port}"
        url = f"postgresql://{ROOT}@{hosts}/postgres"

        assert run(hand(postgres_sink(url, table), placed(0, "a"))) == [NEW]
        assert rows(server, table) == 1

        assert str(
            refusal(f"postgresql://{ROOT}@127.0.0.1:1,127.0.0.1:{standby.port}/postgres")
        ) == (
            "host 1: cannot be connected to: connection refused; "
            "host 2: it is a standby, which only reads; name the primary too"
        )


def test_too_many_connections_are_an_outage(table: str) -> None:
    with started(settings=["max_connections = 5", "superuser_reserved_connections = 1"]) as server:
        server.sql(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")

        async def crowd() -> Exception:
            async with (
                holding(server),
                holding(server),
                holding(server),
                holding(server),
            ):
                return await fault(
                    postgres_sink(
                        server.url_of(f"app:{PASSWORD}"),
                    ).open()
                )

        said = asyncio.run(crowd())

    assert isinstance(said, Down)
    assert "answered 53300: " in str(said)


@pytest.mark.needs("mount")
def test_a_full_disk_is_an_outage_and_heals(table: str) -> None:
    batch = [placed(n, f"e-{n}", b'"%b"' % os.urandom(4000).hex().encode()) for n in range(600)]
    with started() as server, _small_disk(server) as small:
        server.sql(f"CREATE TABLESPACE small LOCATION '{small}'")
        sink = postgres_sink(server.url, table)
        asyncio.run(hand(sink, placed(0, "e-0")))
        server.sql(f"ALTER TABLE {table} SET TABLESPACE small")

        said = asyncio.run(fault(hand(sink, *batch)))

        assert isinstance(said, Down)
        assert "answered 53100: " in str(said)
        assert rows(server, table) == 1
        server.sql(f"ALTER TABLE {table} SET TABLESPACE pg_default", "DROP TABLESPACE small")
        assert asyncio.run(hand(sink, *batch)) == [NEW] * 600


def test_what_is_settled_is_on_disk_whatever_the_server_is_set_to(table: str) -> None:
    """`synchronous_commit = off` would forget the last second in a crash."""
    with started(
        durable=True, settings=["synchronous_commit = off", "wal_writer_delay = 10s"]
    ) as server:
        asyncio.run(hand(postgres_sink(server.url, table), placed(0, "a")))
        sink = postgres_sink(server.url, table)

        async def through() -> None:
            async with opened(sink):
                await sink.write([placed(1, "b")])
                server.stop(9)

        asyncio.run(through())
        server.start()
        assert rows(server, table) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ""),
        (b"R\0\0\0\x08\0\0\0\0S\0\0\0\x17client_encoding\0no\0Z\0\0\0\x05I", NOT_POSTGRES),
        (b"R\0\0\0\x08\0\0\0\x63", "unsupported authentication method requested by the server"),
        (b"", ""),
    ],
    ids=["HTTP", "an encoding of its own", "another login", "nothing"],
)
def test_what_is_no_postgresql_is_an_outage(
    answer: bytes, said: str, run: Callable[..., Any]
) -> None:
    async def through() -> list[Exception]:
        server = await asyncio.start_server(_answering(answer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://app:{PASSWORD}@127.0.0.1:{port}/web?connect_timeout=2"
        async with server:
            return [
                await fault(postgres_sink(f"{url}&sslmode={mode}").open())
                for mode in ("require", "disable")
            ]

    secure, plain = run(through())

    assert isinstance(secure, Down)
    assert isinstance(plain, Down)
    assert said in str(plain)
    assert PASSWORD not in f"{secure}{plain}"


def test_a_server_that_repeats_the_password_is_not_repeated(server: Server, table: str) -> None:
    """A check of the table's owner may say anything."""
    server.sql(
        "CREATE SCHEMA IF NOT EXISTS mine AUTHORIZATION app",
        f"CREATE FUNCTION mine.{table}_says() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION 'it was % {PASSWORD}', chr(27); END$$",
    )
    sink = postgres_sink(server.url_of(f"app:{PASSWORD}"), f"mine.{table}")
    asyncio.run(hand(sink, placed(0, "a")))
    server.sql(
        f"CREATE TRIGGER says BEFORE INSERT ON mine.{table} "
        f"FOR EACH ROW EXECUTE FUNCTION mine.{table}_says()"
    )

    said = asyncio.run(fault(hand(sink, placed(1, "b"))))

    assert str(said) == "answered P0001: it was […]"


def test_a_table_that_is_gone_is_made_again(server: Server, table: str) -> None:
    async def through() -> list[Any]:
        sink = postgres_sink(server.url, table)
        async with opened(sink):
            await sink.write([placed(0, "a")])
            await asyncio.to_thread(server.sql, f"DROP TABLE {table}")
            return [await fault(sink.write([placed(1, "b")])), *await sink.write([placed(1, "b")])]

    down, outcome = asyncio.run(through())

    assert "answered 42P01: " in str(down)
    assert outcome == NEW


def test_a_table_that_changes_meanwhile_is_said(server: Server, table: str) -> None:
    async def through() -> list[Exception]:
        sink = postgres_sink(server.url, table)
        async with opened(sink):
            await sink.write([placed(0, "a")])
            await asyncio.to_thread(server.sql, f"ALTER TABLE {table} RENAME part TO piece")
            return [await fault(sink.write([placed(1, "b")])) for _ in range(2)]

    first, second = asyncio.run(through())

    assert "answered 42703: " in str(first)
    assert isinstance(second, Down)
    assert str(second).startswith(
        f"spec.sink.postgres.table: the table {table!r} has no column 'part'"
    )


def test_no_connection_stays_behind(server: Server, table: str, run: Callable[..., Any]) -> None:
    async def through() -> None:
        sink = postgres_sink(server.url, table)
        async with opened(sink):
            batches = [[placed(n, str(n))] for n in range(sink.lanes)]
            await asyncio.gather(*[sink.write(batch) for batch in batches])
            writing = asyncio.create_task(sink.write([placed(0, "x")]))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    run(through())

    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trackmate'"
    wait_until(lambda: server.value(ours) == "0", "every connection is closed")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[Server]:
    """A server with a certificate for db.example, that lets in by TLS alone."""
    issued = authority.issue_cert("db.example")
    with started() as running:
        running.stop()
        running.put("server.crt", issued.cert_chain_pems[0].bytes())
        running.put("server.key", issued.private_key_pem.bytes())
        running.put("pg_hba.conf", f"hostssl all {ROOT} 127.0.0.1/32 trust\n".encode())
        running.set("ssl = on")
        running.start()
        yield running


def test_the_certificate_is_about_the_name_and_not_the_address(
    secure: Server, authority: trustme.CA, run: Callable[..., Any]
) -> None:
    pem = authority.cert_pem.bytes().decode()
    for host in ("host=db.example hostaddr=127.0.0.1", "host=db.example"):
        string = f"{host} port={secure.port} user={ROOT} sslmode=verify-full"
        sink = postgres_sink(string, authority=pem, lookup=_here)
        assert run(hand(sink, placed(0, "a"))) == [NEW]


@pytest.mark.parametrize(
    ("host", "mode", "trusted", "said"),
    [
        ("other.example", "verify-full", "its", "its certificate is for another name"),
        ("127.0.0.1", "verify-full", "its", "its certificate is for another address"),
        ("other.example", "verify-ca", "its", ""),
        ("db.example", "verify-ca", "another", UNKNOWN_AUTHORITY),
        ("other.example", "require", "", ""),
        ("other.example", "prefer", "", ""),
        ("other.example", "allow", "", ""),
        ("db.example", "disable", "", NO_ENTRY),
    ],
)
def test_modes_of_tls(
    secure: Server, authority: trustme.CA, host: str, mode: str, trusted: str, said: str
) -> None:
    trusts = {"its": authority, "another": trustme.CA()}
    pem = trusts[trusted].cert_pem.bytes().decode() if trusted else None
    string = f"host={host} port={secure.port} user={ROOT} sslmode={mode}"
    sink = postgres_sink(string, authority=pem, lookup=_here)

    if said:
        down = asyncio.run(fault(hand(sink, placed(0, "a"))))
        assert isinstance(down, Down)
        assert str(down) == said
    else:
        assert asyncio.run(hand(sink, placed(0, "a"))) == [NEW]


def test_a_server_without_tls_is_told_from_one_with_it(server: Server, table: str) -> None:
    assert asyncio.run(hand(postgres_sink(f"{server.url}?sslmode=prefer", table))) == [NEW]

    said = refusal(f"{server.url}?sslmode=require", table)

    assert isinstance(said, Down)
    assert str(said) == "the connection was closed, or TLS is asked for and the server has none"


def test_an_authority_that_nobody_asks_for_is_unfit(server: Server) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()

    said = refusal(f"{server.url}?sslmode=require", authority=pem)
    assert isinstance(said, Unfit)
    assert said.path == "spec.sink.postgres.tls"

    said = refusal(f"{server.url}?sslmode=verify-full", authority="none")
    assert isinstance(said, Unfit)
    assert said.path == "spec.sink.postgres.tls.caSecretRef"


# what the tests need


def _answering(answer: bytes) -> Callable[..., Any]:
    """Say the same to whatever comes, and close."""

    async def to(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    return to


async def _here(host: str) -> list[str]:
    return ["127.0.0.1"]


async def _of(task: "asyncio.Task[Any]") -> Any:
    return await task


async def _until_waiting(server: Server) -> None:
    """Until a statement of the sink waits for a lock."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(_waiting, server):
            pass


def _waiting(server: Server) -> int:
    return int(
        server.value(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND application_name = 'trackmate'"
        )
    )


def _become_standby(server: Server) -> None:
    server.stop()
    server.put("standby.signal", b"")
    server.start()


@contextmanager
def _small_disk(server: Server) -> Iterator[Path]:
    folder = server.home / "small"
    folder.mkdir()
    owner = server.data.stat()
    options = f"size=2m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
