"""Who reads a page: Chinese or English, and what their clocks say. The server learns the language and no time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from werkzeug.wrappers import Request

from shared.smarttag.report import times
from shared.smarttag.report.labels import Label

_BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Reader:
    """Somebody who reads Chinese, and then times of Beijing; or English, and UTC."""

    chinese: bool

    @classmethod
    def of(cls, request: Request) -> Reader:
        """Return who sent a request: whichever of the two languages it would rather have, else English."""
        wished = (tag.partition("-")[0].lower() for tag, _ in request.accept_languages)
        return cls(next((tag == "zh" for tag in wished if tag in {"zh", "en"}), False))

    def say(self, zh: str, en: str) -> str:
        """Return the text that this reader reads."""
        return zh if self.chinese else en

    @property
    def zone(self) -> timezone:
        """The zone of all times on the page."""
        return _BEIJING if self.chinese else timezone.utc

    def when(self, stamp: str | None) -> str:
        """Write a stored moment (ISO 8601, UTC) to the minute; what is none as it stands."""
        try:
            return (
                f"{datetime.fromisoformat((stamp or '').replace('Z', '+00:00')).astimezone(self.zone):%Y-%m-%d %H:%M}"
            )
        except (ValueError, OverflowError):
            return stamp or ""

    def until(self, seconds: int) -> str:
        """Write a moment in seconds since 1970 to the minute."""
        return f"{datetime.fromtimestamp(seconds, self.zone):%Y-%m-%d %H:%M}"

    def midnight(self, day: str, *, end: bool = False) -> str:
        """Return when a day (2026-11-26) begins, or ends, in ISO 8601 and UTC; empty for what is no day."""
        try:
            begins = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=self.zone)
            return (begins + timedelta(days=end)).astimezone(timezone.utc).isoformat()
        except (ValueError, OverflowError):
            return ""

    def today(self, now: float) -> str:
        """Return the day that it is, at ``now`` in seconds since 1970."""
        return f"{datetime.fromtimestamp(now, self.zone):%Y-%m-%d}"

    def label(self, label: Label) -> str:
        """Return the half of a label that this reader reads."""
        return label.zh if self.chinese else label.en or label.zh

    def about(self, ms: int, *, at_least: bool = False) -> str:
        """Write a length of time as people tell it; rounded down, and called so, where it is ``at_least`` that."""
        told = self.label(times.about(ms, at_least=at_least))
        return self.say(f"至少 {told}", f"at least {told}") if at_least else told

    def size(self, count: int) -> str:
        """Write a number of bytes."""
        for unit, most in (("B", 1), ("kB", 1000), ("MB", 1_000_000)):
            if count < 1000 * most or unit == "MB":
                break
        return f"{count / most:.3g} {unit}" if count < 1000 * most else f"{count / most:,.0f} {unit}"
