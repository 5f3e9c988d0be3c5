"""The duration the response does not carry, inferred from ratio = sum of the ranges / duration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.smarttag.checked_values import Notes
from shared.smarttag.model import Media
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


def infer(kind: str, shares: list[Share], seen_until: int, latest: int | None, notes: Notes) -> Media:
    """Return the media: each whole millisecond that all rows allow lies within the duration and its error.

    Args:
        kind: video, image or unknown.
        shares: the visual rows that have a ratio and a length.
        seen_until: the latest end of these rows, in ms.
        latest: the latest end of anything, in ms; None where nothing had a time.
        notes: told when the rows cannot share one duration.
    """
    for slack in (0, _SLACK_MS):
        low = max([seen_until - _FRAMES_MS, *((s.total - slack * s.count) / (s.ratio + _HALF) for s in shares)])
        bounds = [(s.total + slack * s.count) / (s.ratio - _HALF) for s in shares if s.ratio > _HALF]
        if min(bounds, default=math.inf) > MAX_MS:  # a ratio so small that it bounds nothing
            break
        if low <= min(bounds):
            heard = (latest or 0) - _FRAMES_MS  # speech, say, may go on when nothing is seen any more
            low = max(low, heard) if heard <= min(bounds) else low
            first, last = math.ceil(low), math.floor(min(bounds))
            middle = (first + last) // 2
            return Media(kind, middle, "inferred", abs(last - middle) + (first > last))
    else:
        notes.add("ratios-disagree", "$", "ratios and times of the rows do not fit one duration; none is inferred")
    return Media(kind, latest, None if latest is None else "maxTo", None)
