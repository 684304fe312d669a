"""
A real Chromium for tests of pages, and an ear for what a page complains of.

Playwright's synchronous half allows one start at a time: a module's fixture holds it, never a
session's.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from needs import CHROMIUM

_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(*, back_forward_cache: bool = False) -> Iterator[Browser]:
    """The system's browser, without a window."""
    without = ["--disable-back-forward-cache"] if back_forward_cache else []  # Playwright's own
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=_QUIET, ignore_default_args=without
        )
        yield browser
        browser.close()


@contextmanager
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody new, with storage of their own."""
    context = browser.new_context(locale="en-GB")
    yield context
    context.close()


def complaints(page: Page) -> list[str]:
    """
    A list that grows with each error of a page: what it throws and what its console shows, and
    Chromium writes there what a policy stopped and what did not load.
    """
    heard: list[str] = []

    def hear(said: ConsoleMessage) -> None:
        if said.type == "error":
            heard.append(f"{said.text} {said.location.get('url', '')}")

    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", hear)
    return heard
