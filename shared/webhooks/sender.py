"""One attempt to deliver one webhook."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    ``kind``: ``delivered`` (2xx), ``gone`` (410), ``refused`` (must not be dialled; trying again changes nothing until
    the subscriber is corrected), ``failed`` (everything else). ``status`` is None where no complete answer came.
    ``excerpt`` is the printable beginning of the answer. ``retry_after`` is in seconds from now.
    """

    kind: str
    status: int | None
    duration_ms: int
    excerpt: str = ""
    retry_after: float | None = None
    error: str | None = None
