"""What the console's API shows of an instance that changes meanwhile."""

from types import SimpleNamespace
from typing import Any, cast

from trackmate.dev import shown
from trackmate.embedded.affiliate import EmbeddedAffiliate
from trackmate_consume.ledger import Counts, Ledger, Line


def test_books_that_are_asked_for_while_a_pipeline_is_put_away_are_shown_without_it() -> None:
    running: dict[str, Any] = {"to-out": object()}

    def ledger() -> Ledger:
        running.clear()
        return Ledger(1, (Line("to-out", 1, Counts(delivered=1), in_flight=0),))

    pipelines = SimpleNamespace(running=running)
    found = cast("EmbeddedAffiliate", SimpleNamespace(ledger=ledger, pipelines=pipelines))

    assert shown.books(found)["pipelines"] == []
