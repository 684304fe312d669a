"""
How a program reaches Couchbase: its settings. Certificates are always verified, names included;
there is no setting that turns it off.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .faults import Fault, Place
from .leaves import File, duration, text
from .settings import Settings

_HOST = r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[1-9][0-9]{0,4})?"
_TLS = "couchbases://"

ConnectionString = Annotated[
    str,
    text(
        "a connection string",
        "couchbases://HOST, or several hosts with commas between; a user, a password and options "
        "have settings of their own",
        pattern=rf"^couchbases?://{_HOST}(,{_HOST})*$",
        longest=1_024,
        secret=True,
    ),
]
BucketName = Annotated[
    str,
    text(
        "a bucket",
        "letters, digits, '_', '-', '.' and '%', like 'acme'",
        pattern=r"^[A-Za-z0-9_.%-]+$",
        longest=100,
    ),
]
ScopeName = Annotated[
    str,
    text(
        "a scope",
        "letters, digits, '_', '-' and '%', like 'acme'",
        pattern=r"^[A-Za-z0-9_%-]+$",
        longest=251,
    ),
]
UserName = Annotated[
    str,
    text(
        "the name of a Couchbase user",
        "it without control characters, like 'acme-consume'",
        pattern=r"^[^\x00-\x1f\x7f]+$",
        longest=128,
    ),
]
Durability = Literal["None", "Majority", "MajorityAndPersistActive", "PersistToMajority"]


class Couchbase(Settings):
    connection_string: ConnectionString = Field(examples=["couchbases://cb.example"], repr=False)
    """Where the cluster is; couchbases:// encrypts, and checks the nodes' certificates."""
    ca_file: File | None = None
    """PEM file of the authority that the nodes' certificates are checked against; without it, the
    public ones."""
    username: UserName = Field(examples=["acme-consume"])
    """The database user; it needs data_reader and data_writer in the bucket, or in the scope."""
    password_file: File = Field(examples=["/etc/trackmate/couchbase/password"])
    """File that holds the password; a line break at its end does not count. It is read again when
    it changes."""
    bucket: BucketName = Field(examples=["acme"])
    """The affiliate's bucket, or the one that it shares."""
    scope: ScopeName = "_default"
    """The affiliate's scope, where it shares a bucket."""
    durability: Durability = "MajorityAndPersistActive"
    """What a write waits for before it counts; never less, whatever is down."""
    expiry_s: Annotated[int, duration("1h", "10000d")] | None = None
    """How long documents are kept; without it, as long as nobody drops them."""


def rules(couchbase: Place) -> Iterator[Fault]:
    """What does not fit together in the settings of Couchbase."""
    where, authority = couchbase.at("connectionString"), couchbase.at("caFile")
    encrypted = isinstance(where.value, str) and where.value.startswith(_TLS)
    if authority.value is not None and not encrypted:
        yield authority.fault(
            "couchbase:// asks for no certificate, so an authority is of no use; write "
            f"{_TLS}, or remove caFile"
        )
