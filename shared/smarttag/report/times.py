"""How a moment and a length of time are written."""

from __future__ import annotations

from shared.smarttag.report.labels import Label

_MINUTE, _HOUR = 60_000, 3_600_000
_ROUGH = 600  # seconds from which a rough length is told to the minute


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
    if seconds < _HOUR // 1000:
        return f"{seconds // 60} min {seconds % 60:02} s"
    hours, minutes = divmod((seconds + 30) // 60, 60)
    return f"{hours} h {minutes:02} min"


def length_zh(ms: int) -> str:
    """Write a length of time for a Chinese sentence: ``3 分 05 秒``."""
    return length(ms).replace("h", "小时").replace("min", "分").replace("s", "秒")


def about(ms: int, *, at_least: bool = False) -> Label:
    """Write a length as people tell it: 48 秒, 3 分 5 秒, 2 小时; rounded down where it is ``at_least`` that."""
    seconds = ms // 1000 if at_least else (ms + 500) // 1000
    if not seconds:
        return Label(f"{ms / 1000:g} 秒", f"{ms / 1000:g} s")
    if seconds >= _ROUGH:
        seconds = (seconds if at_least else seconds + 30) // 60 * 60
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    minute = "分" if seconds else "分钟"
    parts = [(hours, "小时", "h"), (minutes, minute, "min"), (seconds, "秒", "s")]
    return Label(*(" ".join(f"{part[0]} {part[word]}" for part in parts if part[0]) for word in (1, 2)))


def iso(ms: int) -> str:
    """Write a length of time for ``<time datetime>``."""
    return f"PT{max(ms, 0) / 1000:.3f}".rstrip("0").rstrip(".") + "S"
