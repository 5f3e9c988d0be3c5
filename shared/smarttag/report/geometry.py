"""Where things lie on the shared time axis, and how a time is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.smarttag.model import Range

COLUMNS = 1200  # width of every row's drawing; a screen gives it 350 to 800 pixels
HAIR = 3  # columns: nothing is drawn narrower, and no gap is kept that nobody could see
_TICKS = 9  # at most this many intervals
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
_STEPS = (100, 200, 500, *(s * _SECOND for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)))


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled moment on the axis; ``percent`` of its width."""

    label: str
    percent: float


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis every row shares: 0 to ``spanMs``, a tick every ``stepPercent`` of the width."""

    spanMs: int
    stepPercent: float
    ticks: tuple[Tick, ...]


def axis(span_ms: int) -> Axis:
    """Return the axis from 0 to ``span_ms`` with ticks at round times."""
    span = max(span_ms, 1)
    step = next((s for s in _STEPS if span <= s * _TICKS), -(-span // (_TICKS * _HOUR)) * _HOUR)
    ticks = [Tick(clock(at, fine=step < _SECOND), round(at * 100 / span, 3)) for at in range(0, span + 1, step)]
    return Axis(span, round(step * 100 / span, 4), tuple(ticks))


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


def clock(ms: int, *, fine: bool = True) -> str:
    """Write a moment as ``1:02.44`` or ``1:00:02.44``, to the second unless ``fine``."""
    sign = "-" if ms < 0 else ""
    seconds, hundredths = divmod((abs(ms) + 5) // 10, 100) if fine else (abs(ms) // 1000, 0)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{sign}{text}.{hundredths:02}" if fine else sign + text


def length(ms: int) -> str:
    """Write a length of time: ``12.12 s``, ``3 min 05 s``, ``1 h 02 min``."""
    if ms < _MINUTE - 5:  # what rounds to a minute is one
        return f"{(ms + 5) // 10 / 100:.2f} s"
    seconds = (ms + 500) // 1000
    if seconds < _HOUR // _SECOND:
        return f"{seconds // 60} min {seconds % 60:02} s"
    hours, minutes = divmod((seconds + 30) // 60, 60)
    return f"{hours} h {minutes:02} min"


def length_zh(ms: int) -> str:
    """Write a length of time for a Chinese sentence: `` 3 分 05 秒``."""
    return length(ms).replace("h", "小时").replace("min", "分").replace("s", "秒")


def iso(ms: int) -> str:
    """Write a length of time for ``<time datetime>``."""
    return f"PT{max(ms, 0) / 1000:.3f}".rstrip("0").rstrip(".") + "S"
