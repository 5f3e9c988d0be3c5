"""Where rows stand: newest first, so that a plain list of keys begins with the newest.

A position is ``<inverted time>~<jobId>.``, the beginning of the name of the row's object. The inverted time alone,
which sorts before all rows of its millisecond, is one too.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from shared.errors import BadInput
from shared.patterns import regex

_LAST = 9_999_999_999_999  # the largest time that has 13 digits
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_POSITION = regex(r"[0-9]{13}(?:~[A-Za-z0-9_-]{1,64}\.)?")
_TIME = regex(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.([0-9]{1,15}))?(Z|[+ -][0-9]{2}:[0-9]{2}))?"
)
DAY = 86_400_000  # milliseconds


def invert(at: int) -> str:
    """Return the position before all rows that were published at ``at`` (ms)."""
    return f"{_LAST - min(max(at, 0), _LAST):013d}"


def position_of(at: int, job_id: str) -> str:
    """Return where the row of a job that was published at ``at`` (ms) stands."""
    return f"{invert(at)}~{job_id}."


def time_of(position: str) -> int:
    """Return the time of a position, in milliseconds since 1970."""
    return _LAST - int(position[:13])


def check_cursor(text: str) -> str:
    """Return the position that a cursor names; raise ``BadInput`` unless it is one of ours."""
    if not _POSITION.fullmatch(text):
        raise BadInput("the cursor must be one that an earlier answer gave as next", cursor=ascii(text[:80]))
    return text


def iso(at: int) -> str:
    """Return the moment in ISO 8601, UTC."""
    return f"{_EPOCH + timedelta(milliseconds=at):%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"


def milliseconds(text: str) -> int:
    """Read what ``iso`` wrote; raise ``ValueError`` for what is no time."""
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - _EPOCH) // timedelta(milliseconds=1)


def day_of(at: int) -> str:
    """Return the day, UTC, as YYYY-MM-DD."""
    return f"{_EPOCH + timedelta(milliseconds=at):%Y-%m-%d}"


def read_time(name: str, text: str, *, end: bool = False) -> int:
    """Read a time that a person gave, in ISO 8601; a date alone names its beginning, or its ``end``.

    Raises:
        BadInput: it is neither a date nor a time with its distance from UTC.
    """
    wrong = BadInput(f"{name} must be a date such as 2026-11-26, or a time such as 2026-11-26T08:00:00Z")
    match = _TIME.fullmatch(text.strip().upper())
    if match is None:
        raise wrong
    date, clock, seconds, fraction, zone = match.groups()
    zone = "+00:00" if zone in {None, "Z"} else zone.replace(" ", "+")  # a plus that a query lost
    try:
        at = datetime.fromisoformat(f"{date}T{clock or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}{zone}")
    except ValueError:
        raise wrong from None
    ms = (at - _EPOCH) // timedelta(milliseconds=1) + (DAY if end and clock is None else 0)
    return min(max(ms, 0), _LAST)
