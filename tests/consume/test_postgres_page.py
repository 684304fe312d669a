"""
What docs/sinks-postgres.md says: its SQL is run, and each fault that it shows is met.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from handing import fault, hand, placed, postgres_sink
from postgres import Server, started
from trackmate_consume.formats import FORMATS
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Unfit
from trackmate_consume.sinks.postgres import PostgresSink
from trackmate_contract.pipeline import Postgres

pytestmark = pytest.mark.needs("postgres")

PAGE = (Path(__file__).parents[2] / "docs" / "sinks-postgres.md").read_text("utf-8")
TABLE, ROLE = (block[1] for block in re.finditer(r"(?ms)^```sql\n(.*?)^```$", PAGE))
BEFORE, GRANT = ROLE.split("-- then make the table as above, as web.events\n")
PASSWORD = "make your own"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as running:
        running.run(BEFORE)
        running.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        yield running


def url(server: Server) -> str:
    return server.url_of(f"trackmate:{PASSWORD.replace(' ', '%20')}")


def made(name: str) -> str:
    return TABLE.replace("TABLE events", f"TABLE {name}")


def test_the_table_of_the_page_is_the_table_that_is_made(server: Server) -> None:
    def columns(table: str) -> list[list[str]]:
        return server.sql(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            f"WHERE table_name = '{table}' ORDER BY ordinal_position"
        )

    server.sql(made("theirs"))
    asyncio.run(hand(postgres_sink(server.url, "ours"), placed(0, "a")))

    assert columns("ours") == columns("theirs") != []


def test_the_role_of_the_page_has_what_it_needs(server: Server) -> None:
    sink = postgres_sink(url(server), "web.events")
    unfit = asyncio.run(fault(hand(sink)))
    server.sql(made("web.events"), GRANT)

    outcomes = [asyncio.run(hand(sink, placed(0, "a", b"1", b"2"))) for _ in range(2)]

    assert isinstance(unfit, Unfit)
    assert f"| `{unfit.path}`: {unfit} |" in PAGE
    assert outcomes == [[Outcome.DELIVERED]] * 2


DECLARED = {
    "jdbc:postgresql://db.acme.example/web": "jdbc:postgresql://db.acme.example/web",
    "a password with an `@`": "postgresql://trackmate:p@ss@db.acme.example/web",
    "host=/var/run/postgresql": "host=/var/run/postgresql user=trackmate",
    "sslrootcert=/etc/ssl/own.pem": "postgresql://u@db.acme.example?sslrootcert=/etc/ssl/own.pem",
    "host=10.0.0.1": "host=10.0.0.1 user=trackmate",
    "a public host without TLS": "postgresql://trackmate@db.acme.example/web",
    "`tls` with `sslmode=require`": "postgresql://trackmate@db.acme.example/web?sslmode=require",
}


@pytest.mark.parametrize("declared", DECLARED)
def test_a_string_of_the_page_is_told_what_the_page_says(declared: str) -> None:
    authority = trustme.CA().cert_pem.bytes().decode() if "tls" in declared else None
    sink = postgres_sink(DECLARED[declared], authority=authority, allowed=())

    said = asyncio.run(fault(sink.open()))

    assert isinstance(said, Unfit)
    begins = (f"| {declared} |", f"| `{declared}` |")
    [row] = [row for row in PAGE.splitlines() if row.startswith(begins)]
    assert row.endswith(f"| `{said.path}`: {said} |")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("typed", "ALTER TABLE typed ALTER document TYPE date USING NULL"),
        ("keyed", "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD UNIQUE (id)"),
        ("granted", "REVOKE UPDATE, DELETE ON granted FROM trackmate"),
    ],
)
def test_a_table_of_the_page_is_told_what_the_page_says(
    server: Server, table: str, change: str
) -> None:
    server.sql(made(table), f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO trackmate", change)

    said = asyncio.run(fault(postgres_sink(url(server), table).open()))

    assert isinstance(said, Unfit)
    assert f"| `{said.path}`: {said} |" in PAGE


def test_a_missing_secret_is_told_as_the_page_says() -> None:
    sink = PostgresSink(
        Postgres.model_validate(
            {"connectionSecretRef": {"name": "warehouse", "key": "url"}, "table": "events"}
        ),
        FORMATS["json"],
        secret=lambda _: None,
    )

    said = asyncio.run(fault(sink.open()))

    assert isinstance(said, Unfit)
    assert f"| `{said.path}`: {said} |" in PAGE
