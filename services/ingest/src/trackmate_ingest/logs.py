"""
The log of refused requests: one line each, and never so many that they flood it.
"""

import logging
import time

from trackmate_ingest.rates import Bucket


class Refusals:
    """Logs refused requests, at most some a second: a flood of them must not flood the log."""

    def __init__(self, logger: logging.Logger, *, per_second: float = 20) -> None:
        self._logger = logger
        self._bucket = Bucket(per_second, time.monotonic())
        self._suppressed = 0

    def log(self, *, status: int, kind: str, route: str, detail: str) -> None:
        if self._bucket.wait(1, time.monotonic()):
            self._suppressed += 1
            return
        fields: dict[str, object] = {
            "status": status,
            "kind": kind,
            "route": route,
            "detail": detail,
        }
        if self._suppressed:
            fields["suppressed"] = self._suppressed
            self._suppressed = 0
        self._logger.info("refused", extra={"fields": fields})
