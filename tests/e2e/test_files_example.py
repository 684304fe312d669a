"""
What `examples/04-files` says: an event that was sent is in a file some seconds later, as it was.
"""

from pathlib import Path

from filing import lines
from running import start_in
from waiting_for import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "04-files"


def test_the_events_of_the_example_are_in_a_file_soon(tmp_path: Path) -> None:
    dev = start_in(tmp_path, str(EXAMPLE), "--port", "0")
    try:
        sent = b'{"messageId": "1", "total": 12345678901234567890}'
        assert dev.command("send", "acme", "-", stdin=sent).returncode == 0

        wait_until(lambda: lines(tmp_path / "out") == [sent], "the file is finished")
    finally:
        assert dev.stop() == 0
