"""The Retry-After header (RFC 9110, 10.2.3) in every form in which it is seen."""

from __future__ import annotations

from collections.abc import Iterable

from shared.patterns import regex

_NUMBER = regex(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_LONGEST = 1e9  # seconds; whoever schedules bounds it further
_LONGEST_DATE = 100  # characters


def seconds_to_wait(lines: Iterable[str], now: float) -> float | None:
    """Return how many seconds a receiver asks to be left alone; None if it says nothing that can be read.

    Args:
        lines: the value of each Retry-After line; the largest counts. Each holds seconds, with decimals or without,
            several of them separated by commas where a proxy joined lines, or a date.
        now: seconds since 1970.
    """
    return max((seconds for line in lines for seconds in _seconds(line.strip(), now)), default=None)


def _seconds(text: str, now: float) -> list[float]:
    numbers = [part.strip() for part in text.split(",")]
    if all(_NUMBER.fullmatch(number) for number in numbers):
        return [min(float(number), _LONGEST) for number in numbers]
    if not 0 < len(text) <= _LONGEST_DATE:
        return []
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # asctime's form names no zone; HTTP's dates are in UTC, whatever the host's zone is
        date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
        return [min(max(0.0, date.timestamp() - now), _LONGEST)]
    except (ValueError, TypeError, OverflowError, IndexError):
        return []
