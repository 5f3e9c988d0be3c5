"""traceparent as the W3C has it: each case of its own validation suite (w3c/trace-context, test/test.py)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import tracing

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
PLAIN = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (PLAIN, PLAIN),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"00-{TRACE}-{PARENT}-02", f"00-{TRACE}-{PARENT}-02"),
        (f"00-{TRACE}-{PARENT}-ff", f"00-{TRACE}-{PARENT}-03"),  # flags that nobody knows are cleared
        (f"cc-{TRACE}-{PARENT}-01", PLAIN),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", PLAIN),
        *((f"{before}{PLAIN}{after}", PLAIN) for before, after in ((" ", ""), ("\t", ""), ("", " "), ("\t ", " \t"))),
        *((value, "") for value in ("", "00", PLAIN[:-1], f"{PLAIN}.", f"{PLAIN}-what-the-future-will-be-like")),
        (f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like", ""),
        *((f"{version}-{TRACE}-{PARENT}-01", "") for version in ("ff", ".0", "0.", "000", "0000", "0", "CC")),
        *((f"00-{trace}-{PARENT}-01", "") for trace in ("0" * 32, f".{TRACE[1:]}", f"{TRACE[:-1]}.")),
        *((f"00-{trace}-{PARENT}-01", "") for trace in (f"{TRACE}3", TRACE[:-1], "ABCDEF" + TRACE[6:])),
        *((f"00-{TRACE}-{parent}-01", "") for parent in ("0" * 16, f".{PARENT[1:]}", f"{PARENT[:-1]}.")),
        *((f"00-{TRACE}-{parent}-01", "") for parent in (f"{PARENT}7", PARENT[:-1], "ABCDEF" + PARENT[6:])),
        *((f"00-{TRACE}-{PARENT}-{flags}", "") for flags in (".0", "0.", "001", "1", "0F")),
        (f"{PLAIN},{PLAIN}", ""),  # sent twice: joined on the way
        (f"{PLAIN}\n", ""),
    ],
)
def test_what_is_taken_and_what_is_ignored(value: str, taken: str) -> None:
    assert tracing.parse(value) == taken


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.?"))
def test_whatever_comes_is_ignored_or_passed_on_well_formed(value: str) -> None:
    taken = tracing.parse(value)
    assert taken == "" or re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", taken)
    assert tracing.parse(taken) == taken


def test_each_request_to_somebody_else_is_a_span_of_its_own_in_the_same_trace() -> None:
    with tracing.following(PLAIN), tracing.following(""):
        first, second = tracing.header()["traceparent"], tracing.header()["traceparent"]
    assert {first[:36], second[:36]} == {f"00-{TRACE}-"}
    assert {first[52:], second[52:]} == {"-01"}
    assert len({first, second, PLAIN}) == 3
    assert tracing.parse(first) == first
    assert tracing.header() == {}
