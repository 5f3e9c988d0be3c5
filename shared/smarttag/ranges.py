"""Time ranges in integer milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

from shared.smarttag.model import Range

MAX_MS = 10**11  # three years: anything later is garbage, and sums of millions of ranges still fit 64 bits


def union(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the disjoint ranges that cover the same time, in order; touching ranges become one."""
    merged: list[Range] = []
    end = -1
    for span in sorted(ranges):
        if span[0] > end:
            merged.append(span)
            end = span[1]
        elif span[1] > end:
            end = span[1]
            merged[-1] = (merged[-1][0], end)
    return tuple(merged)


def length(ranges: Iterable[Range]) -> int:
    """Return the plain sum of the lengths."""
    return sum([last - first for first, last in ranges])  # a list: twice as fast as a generator here
