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


class Declined(Refusal):
    """The instance refused, in its own words."""


class Unsendable(Refusal):
    """A file cannot be sent, or the server refused it."""


class CannotStart(Refusal):
    """Something keeps the instance from starting."""
