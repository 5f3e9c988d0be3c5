"""W3C trace context: whose request this is about, read from ``traceparent`` and passed on to webhooks.

Source: "Trace Context", https://www.w3.org/TR/trace-context/. ``tracestate`` is not passed on: what tracing systems on
the way here wrote into it is not for the receivers of webhooks, who are other people.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.logs import bind

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
_KNOWN_FLAGS = 0x03  # sampled, and a trace ID that was made at random
_current: ContextVar[str] = ContextVar("traceparent", default="")


def parse(traceparent: str) -> str:
    """Return the value in version 00; empty if the standard says that it is to be ignored.

    What a later version adds at the end is not ours to understand, and is dropped.
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if match is None or (match["version"] == "00" and match["more"] is not None):
        return ""
    return f"00{match[0][2:53]}{int(match['flags'], 16) & _KNOWN_FLAGS:02x}"


@contextmanager
def following(traceparent: str) -> Iterator[None]:
    """Let what runs inside belong to a trace that ``parse`` returned; with an empty one, to the one it did before."""
    if not traceparent:
        yield
        return
    token = _current.set(traceparent)
    try:
        with bind(traceId=traceparent[3:35]):
            yield
    finally:
        _current.reset(token)


def header() -> dict[str, str]:
    """Return ``traceparent`` for a request to somebody else, with a span ID of its own; nothing outside a trace."""
    now = _current.get()
    return {"traceparent": f"{now[:36]}{secrets.token_hex(8)}{now[52:]}"} if now else {}
