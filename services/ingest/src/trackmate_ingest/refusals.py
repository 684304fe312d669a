"""Why a body gives no events: the two errors of `slicing`."""

NO_EVENT = "the body holds no event"
NO_OBJECT = "not a JSON object"
NO_BATCH = "no array named batch"
NO_NEWLINE = "a newline between two events is missing"


class Malformed(Exception):  # noqa: N818 - the word of the answer: 400 malformed
    """The body is not what its content type says. It never will be: a repeat is useless."""

    def __init__(self, what: str, *, offset: int, index: int | None = None) -> None:
        subject = "The body" if index is None else f"Event {index}"
        super().__init__(f"{subject} is malformed at byte {offset} of the body: {what}.")
        self.what = what
        self.offset = offset
        """Where in the body. Measured in bytes, from 0."""
        self.index = index
        """Which event, from 0; None where the fault is outside of any."""


class OverLimit(Exception):  # noqa: N818 - what happened, not an error of ours
    """The body holds too many events, or one that is too large."""

    def __init__(self, message: str, *, limit: int, index: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.index = index
        """Which event, from 0; None where there are too many."""

    @classmethod
    def too_many(cls, limit: int) -> "OverLimit":
        return cls(f"The body holds more than {limit} events. Send smaller batches.", limit=limit)

    @classmethod
    def too_large(cls, index: int, size: int, *, limit: int) -> "OverLimit":
        message = f"Event {index} has {size} bytes, the limit is {limit}. Send smaller events."
        return cls(message, limit=limit, index=index)
