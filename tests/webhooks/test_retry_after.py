"""Retry-After in every form in which it is seen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks.retry_after import seconds_to_wait


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [(["7"], 7.0), ([" 120 "], 120.0), (["0"], 0.0), (["999999999"], 999999999.0), (["1.5"], 1.5), ([".5"], 0.5)]
    + [(["99999999999"], 1e9), (["9" * 5000], 1e9), (["5."], 5.0)]
    + [(["7", "120", "30"], 120.0), (["7, 120 ,30"], 120.0), (["soon", "3"], 3.0), ([], None)]
    + [(["3", "Thu, 01 Jan 1970 00:20:00 GMT"], 200.0), (["300", "Thu, 01 Jan 1970 00:20:00 GMT"], 300.0)]
    + [(["Thu, 01 Jan 1970 00:20:00 GMT"], 200.0), (["Thursday, 01-Jan-70 00:20:00 GMT"], 200.0)]
    + [(["Thu, 01 Jan 1970 00:00:01 GMT"], 0.0), (["Thu, 01 Jan 1970 08:20:00 +0800"], 200.0)]
    + [(["Fri, 31 Dec 9999 23:59:59 GMT"], 1e9)]
    + [([bad], None) for bad in ("", "soon", "-1", "1e9", "1_0", "+5", "5s", "inf", "nan", "٣", "1,", ",")]
    + [([bad], None) for bad in ("Thu, 99 Jan 1970", "\x00", ".", "Thu, 01 Jan 1970 00:20:00 GMT" + "x" * 100)],
)
def test_what_it_says(lines: list[str], seconds: float | None) -> None:
    assert seconds_to_wait(lines, now=1000.0) == seconds


@given(st.lists(st.text() | st.text("Thu, 01JanGMT:+-"), max_size=3))
def test_nothing_is_too_odd(lines: list[str]) -> None:
    seconds = seconds_to_wait(lines, now=1000.0)
    assert seconds is None or 0 <= seconds <= 1e9


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_without_a_zone_it_is_utc_wherever_the_host_is(zone: str) -> None:
    code = (
        "from shared.webhooks.retry_after import seconds_to_wait;"
        "print(seconds_to_wait(['Sun Nov 22 20:00:00 2026'], 1795377000))"
    )
    env = {**os.environ, "TZ": zone}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "600.0\n"
