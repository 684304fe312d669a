"""
What a command says when it cannot do what it was asked: one sentence with the cure, and an exit
code.
"""


class Refusal(Exception):  # noqa: N818 - said to a person as it is
    """Wrong usage or faulty input."""

    exit_code = 2


class NoInstance(Refusal):
    """There is nothing to talk to."""

    exit_code = 3


class Nowhere(NoInstance):
    """Neither an instance in this folder nor a way to a cluster."""


class Declined(Refusal):
    """The instance or the cluster refused, in its own words."""


class Unsendable(Refusal):
    """A file cannot be sent, or the server refused it."""


class CannotStart(Refusal):
    """Something keeps the instance from starting."""


class NotHere(Refusal):
    """The command does not work where it was asked to; what to do instead."""


class Unconfirmed(Refusal):
    """It is written, and nobody has made it so."""

    exit_code = 1
