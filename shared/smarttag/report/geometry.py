"""Where things lie on the shared time axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.smarttag.model import Range
from shared.smarttag.report.times import clock

COLUMNS = 1200  # width of every row's drawing; a screen gives it 280 to 800 pixels
HAIR = 3  # columns: nothing is drawn narrower, and no gap is kept that nobody could see
WIDTHS = (600, 420, 270, 220)  # of the axis in CSS pixels: report.css hides the labels that need a wider one
LAST = 94  # percent: a label beyond it ends at its tick
_TICKS = 9  # at most this many intervals
_STRIDES = (1, 2, 4, 8, 16)
_SIGN, _GAP = 6.5, 8  # CSS pixels: what a sign of a label takes in the fonts of report.css; between two labels
_SECOND, _HOUR = 1_000, 3_600_000
_STEPS = (100, 200, 500, *(s * _SECOND for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)))


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled moment on the axis, at ``percent`` of its width, shown where that is ``needs`` pixels or more."""

    label: str
    percent: float
    needs: int


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis every row shares: 0 to ``spanMs``, a line every ``stepPercent`` of the width."""

    spanMs: int
    stepPercent: float
    ticks: tuple[Tick, ...]


def axis(span_ms: int) -> Axis:
    """Return the axis from 0 to ``span_ms`` with ticks at round times, and no two labels that overlap."""
    span = max(span_ms, 1)
    step = next((s for s in _STEPS if span <= s * _TICKS), -(-span // (_TICKS * _HOUR)) * _HOUR)
    labels = [(clock(at, fine=step < _SECOND), at * 100 / span) for at in range(0, span + 1, step)]
    strides = {width: _stride(labels, width) for width in WIDTHS}
    ticks = []
    for index, (label, percent) in enumerate(labels):
        fitting = [width for width in WIDTHS if index % strides[width] == 0]
        if fitting:
            ticks.append(Tick(label, round(percent, 3), min(fitting)))
    return Axis(span, round(step * 100 / span, 4), tuple(ticks))


def _stride(labels: Sequence[tuple[str, float]], width: int) -> int:
    """Return of how many labels one can be shown on an axis of ``width`` pixels."""

    def edges(label: str, percent: float) -> tuple[float, float]:
        middle, size = percent * width / 100, len(label) * _SIGN
        left = middle - (0 if not percent else size if percent > LAST else size / 2)
        return left, left + size

    for stride in _STRIDES:
        shown = [edges(*label) for label in labels[::stride]]
        if all(after[0] - before[1] >= _GAP for before, after in pairwise(shown)):
            return stride
    return len(labels)


def path(ranges: Iterable[Range], span_ms: int) -> str:
    """Return ranges (in order of their start) as one SVG path of horizontal strokes, 0 to ``COLUMNS`` wide."""
    bars: list[list[int]] = []
    for start, end in ranges:
        left = min(max(_column(start, span_ms), 0), COLUMNS - HAIR)
        right = min(max(_column(end, span_ms), left + HAIR), COLUMNS)
        if bars and left - bars[-1][1] < HAIR:
            bars[-1][1] = max(bars[-1][1], right)
        else:
            bars.append([left, right])
    at, drawn = 0, []
    for left, right in bars:
        drawn.append(f"m{left - at} {0 if at else 8}h{right - left}")
        at = right
    return "".join(drawn)


def _column(ms: int, span_ms: int) -> int:
    return (2 * ms * COLUMNS + span_ms) // (2 * span_ms)
