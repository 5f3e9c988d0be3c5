"""Time ranges in integer milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

from shared.smarttag.model import Range

MAX_MS = 10**11  # three years: anything later is garbage, and sums of millions of ranges still fit 64 bits


def union(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the disjoint ranges that cover the same time, in order; touching ranges become one."""
    merged: list[Range] = []
    start, end = 0, -1
    for first, last in sorted(ranges):
        if first > end:
            if end >= 0:
                merged.append((start, end))
            start, end = first, last
        elif last > end:
            end = last
    if end >= 0:
        merged.append((start, end))
    return tuple(merged)


def length(ranges: Iterable[Range]) -> int:
    """Return the plain sum of the lengths."""
    return sum(last - first for first, last in ranges)
