"""The machine's Chromium, driven by Playwright, with everything a page says or asks for written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests import needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A page, what it wrote to the console, the exceptions it let go, and the URL of every request it made."""

    page: Page
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def launched() -> Iterator[Browser]:
    """Start Chromium with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=needs.find("chromium"), args=list(_FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def watched(browser: Browser, **options: Any) -> Iterator[Watched]:
    """Open an empty page in a context of its own, offline unless told otherwise.

    Args:
        browser: from the fixture ``chromium``.
        options: of Playwright's ``new_context``: ``viewport``, ``color_scheme``, ``java_script_enabled``, ...
    """
    context = browser.new_context(**{"offline": True, "service_workers": "block", **options})
    try:
        seen = Watched(context.new_page())
        seen.page.on("console", lambda message: seen.console.append(message.text))
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        context.on("request", lambda request: seen.requests.append(request.url))
        yield seen
    finally:
        context.close()


def follow(link: Locator) -> None:
    """Click what leads to another page and wait until that one is loaded: a click returns before it."""
    with link.page.expect_navigation():
        link.click()
