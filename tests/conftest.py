"""Fixtures every test may use; ``HYPOTHESIS_PROFILE=soak`` runs 50,000 examples of every property."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import browser, needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile(
    "soak", max_examples=50_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# A machine that does other things at the same time is slow, and nothing is wrong with what it tests.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")
if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)


LONGEST = frozenset(
    {
        "test_backfill", "test_bench", "test_clients", "test_crash", "test_endpoints", "test_engines", "test_erasure",
        "test_faults", "test_fuzz", "test_library", "test_local_cloud", "test_needs", "test_operator_events",
        "test_outage", "test_package", "test_pages_browser", "test_processes", "test_report_browser",
        "test_report_judges", "test_run", "test_runtime", "test_serve", "test_simulation", "test_summarise_command",
        "test_template", "test_walkthrough",
    }
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many workers as there are cores: more than half of the time is waiting."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is alone with one of them at the end."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run; where ``CI_NO_SKIP=1`` says that everything is installed, fail instead."""
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            reason = needs.missing(tool)
            if reason is not None and os.environ.get("CI_NO_SKIP") == "1":
                pytest.fail(reason, pytrace=False)
            if reason is not None:
                pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; the test marks itself ``needs("chromium")`` and opens pages with ``browser.watched``.

    Per module: while it is open, Playwright's event loop counts as running in this thread.
    """
    with browser.launched() as opened:
        yield opened
