"""The duration the response does not carry, inferred from ratio = sum of the ranges / duration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.smarttag.checked_values import CheckedValues
from shared.smarttag.model import Media, MediaKind
from shared.smarttag.ranges import MAX_MS

_HALF = 0.0005  # ratios are rounded to three decimals
_SLACK_MS = 10  # what a range may be off where its times were rounded to two decimals
_FRAMES_MS = 100  # how far the last range may reach beyond the end


@dataclass(frozen=True, slots=True)
class Share:
    """One row that says both which share of the media it fills and when: ``total`` ms in ``count`` ranges."""

    ratio: float
    total: float
    count: int


def infer(kind: MediaKind, shares: list[Share], seen_until: int, latest: int | None, checked: CheckedValues) -> Media:
    """Return the media: each whole millisecond that all rows allow lies within the duration and its error.

    Args:
        kind: what was analysed.
        shares: the visual rows that have a ratio and a length.
        seen_until: the latest end of these rows, in ms.
        latest: the latest end of anything, in ms; None where nothing had a time.
        checked: told when the rows cannot share one duration.
    """
    bounds = [_bounds(shares, seen_until, slack) for slack in (0, _SLACK_MS)]
    allowed = next(((low, high) for low, high in bounds if low <= high or high > MAX_MS), None)
    if allowed is None:
        checked.warn("ratios-disagree", "$", "ratios and times of the rows do not fit one duration; none is inferred")
    elif allowed[1] <= MAX_MS:
        low, high = allowed
        heard = (latest or 0) - _FRAMES_MS  # speech, say, may go on when nothing is seen any more
        first, last = math.ceil(max(low, heard) if heard <= high else low), math.floor(high)
        middle = (first + last) // 2
        return Media(kind, middle, "inferred", abs(last - middle) + (first > last))
    return Media(kind, latest, None if latest is None else "maxTo", None)


def _bounds(shares: list[Share], seen_until: int, slack: int) -> tuple[float, float]:
    """Return the least and the greatest duration that all rows allow; a greatest over MAX_MS bounds nothing."""
    low = max([seen_until - _FRAMES_MS, *((s.total - slack * s.count) / (s.ratio + _HALF) for s in shares)])
    high = min([(s.total + slack * s.count) / (s.ratio - _HALF) for s in shares if s.ratio > _HALF], default=math.inf)
    return low, high
