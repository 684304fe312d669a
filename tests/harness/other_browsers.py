"""
Browsers that Playwright does not drive as distributions ship them: what a test asks of any of
them. `firefox.py` and `webkit.py` do it, each in the words that its browser understands.
"""

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

from waiting_for import wait_until


class Refused(Exception):  # noqa: N818 - what the browser answered, not a fault of the test
    """The browser did not do it; so it says of a page that is just giving way to another, too."""


class Tab(Protocol):
    """What is asked of a page returns once it is loaded, but for `back` and `forward`."""

    def evaluate(self, expression: str) -> Any:
        """Its value as JSON has it; that of a promise, once it is there."""

    def goto(self, url: str) -> None: ...

    def reload(self) -> None: ...

    def back(self) -> None: ...

    def forward(self) -> None: ...

    def close(self) -> None: ...


class Running(Protocol):
    """One browser, which may have many tabs."""

    def tab(self) -> Tab:
        """A new one, seen."""

    def close_tabs(self) -> None:
        """All that were opened."""


class Start(Protocol):
    """
    Of a browser with the profile in a folder, which is made on demand. Without `storage` it forbids
    pages to keep anything in localStorage.
    """

    def __call__(
        self, profile: Path, *, storage: bool = True
    ) -> AbstractContextManager[Running]: ...


def shows(tab: Tab, condition: str) -> None:
    """Wait until it is true of the page; while a page gives way to another it is not."""

    def true() -> bool:
        with suppress(Refused):
            return bool(tab.evaluate(f"!!({condition})"))
        return False

    wait_until(true, f"on the page: {condition}")
