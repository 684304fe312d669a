"""
What an error of PostgreSQL means for the events that were being written, by its SQLSTATE
(PostgreSQL's documentation, appendix A).

Its words are passed on where they are about the data or the server. Those about logging in are
ours: a connection string that was read in another way than was meant has its password anywhere.
"""

from trackmate_consume.sink import Down, Refused

_ABOUT_THE_EVENT = ("22", "23", "44", "54", "P0")
"""
Classes: a value that does not fit, a constraint, a view's condition, a limit, a trigger's word. An
event that others would be taken without; another fault that meets one event alone ends as its dead
letter too, as the flow tries it beside the others.
"""

_BROKEN = "08"
"""The class of connections that broke, or were not taken: its words say so themselves."""

_ABOUT_US = {
    "28000": "the server lets nobody in like this: its pg_hba.conf decides by user, database, "
    "address and TLS",
    "28P01": "the server refuses the user or the password; mend them in the Secret",
    "3D000": "the server has no such database; make it, or mend its name in the Secret",
}

_CURES = {
    "22003": "; a number is too large for jsonb: make it text in a transform, or the column "
    "`document` json",
    "22021": "; a column of text holds neither NUL nor bytes that are not UTF-8: with format: json "
    "a raw body comes as base64",
    "22P02": "; jsonb wants whole surrogate pairs: mend it in a transform, or make the column "
    "`document` json",
    "22P05": "; take it out in a transform, or make the column `document` json",
    "25006": "; it is a standby, or is set to read only: name the primary",
    "42501": "; grant the role SELECT, INSERT, UPDATE and DELETE on the table",
    "54000": "; an id over about 2,600 bytes is too long for a key",
    "57014": "; something holds the table or its rows, or the server is slow",
}

_WITH_DETAIL = frozenset({"22P02", "22P05"})
"""Where the detail says what is wrong; elsewhere it may repeat rows."""


def fault_of(sqlstate: str, message: str, detail: str = "") -> Down | Refused:
    """
    >>> fault_of("23514", "new row violates check constraint", "Failing row contains (1).")
    Refused('answered 23514: new row violates check constraint')
    >>> fault_of("40P01", "deadlock detected")
    Down('answered 40P01: deadlock detected')
    """
    if sqlstate in _ABOUT_US:
        return Down(f"answered {sqlstate}: {_ABOUT_US[sqlstate]}")
    said = message if sqlstate.startswith(_BROKEN) else f"answered {sqlstate}: {message}"
    if detail and sqlstate in _WITH_DETAIL:
        said += f": {detail.rstrip('.')}"
    said += _CURES.get(sqlstate, "")
    return Refused(said) if sqlstate.startswith(_ABOUT_THE_EVENT) else Down(said)
