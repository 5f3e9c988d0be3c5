"""Everybody and everything that was seen, each with an anchor, and the alerts that lead to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.smarttag.alerts import alert_kinds_of, members
from shared.smarttag.model import Alert, Person, Seen, Summary
from shared.smarttag.report import times
from shared.smarttag.report.labels import ALERTS, CATEGORIES, Label


@dataclass(frozen=True, slots=True)
class Entry:
    """One person, tag or concept; ``anchor`` counts as summary.json lists them: ``person-1`` is its first.

    ``share`` is that of the time on screen in the length of the video, or, where that is not known, the vendor's
    ratio, which adds up what overlaps. ``alike`` counts the unknown faces of one name.
    """

    anchor: str
    seen: Seen
    alerts: tuple[str, ...]  # kinds of alerts
    share: float | None
    alike: int

    @property
    def urgent(self) -> bool:
        """Return whether a reviewer must not miss it."""
        return bool(self.alerts) or (isinstance(self.seen, Person) and self.seen.sensitive)


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as the report tells it; ``anchor`` is that of its row, if that is shown."""

    label: Label
    name: str
    anchor: str
    when: Label


def entries(summary: Summary) -> tuple[Entry, ...]:
    """Return every person, tag and concept in the order of the summary."""
    kinds: tuple[tuple[str, Sequence[Seen]], ...] = (
        ("person", summary.persons),
        ("tag", summary.tags),
        ("concept", summary.concepts),
    )
    media = summary.media
    known = None if media.durationSource == "maxTo" else media.durationMs
    faces = Counter(person.name for person in summary.persons if person.category == "unknown")
    return tuple(
        Entry(
            f"{kind}-{number}",
            seen,
            _alerts(seen),
            min(seen.seenMs / known, 1) if known else seen.ratio,
            faces[seen.name] if isinstance(seen, Person) and seen.category == "unknown" else 1,
        )
        for kind, found in kinds
        for number, seen in enumerate(found, 1)
    )


def categories(text: str) -> list[str]:
    """Return the categories of a person: the vendor writes one, or a list with commas."""
    return members(text) or [text] * bool(text)


def _alerts(seen: Seen) -> tuple[str, ...]:
    kinds = alert_kinds_of(seen)
    return tuple(kind for kind in ALERTS if kind in kinds)  # by severity


def alert_lines(summary: Summary, found: Iterable[Entry], shown: frozenset[str]) -> list[AlertLine]:
    """Return the alerts by severity, then by time; ``shown`` are the anchors that the page has."""
    rows: dict[tuple[str, str], Entry] = {}
    for entry in found:
        for kind in entry.alerts:
            rows.setdefault((kind, getattr(entry.seen, "name", "")), entry)
    severity = list(ALERTS)

    def order(alert: Alert) -> tuple[int, float, str]:
        row = rows.get((alert.kind, alert.name))
        first = row.seen.firstMs if row else None
        rank = severity.index(alert.kind) if alert.kind in severity else len(severity)
        return rank, float("inf") if first is None else first, alert.name

    return [_line(alert, rows.get((alert.kind, alert.name)), shown) for alert in sorted(summary.alerts, key=order)]


def _line(alert: Alert, row: Entry | None, shown: frozenset[str]) -> AlertLine:
    label = CATEGORIES[ALERTS[alert.kind]] if alert.kind in ALERTS else Label(alert.kind, "")
    if row is None:
        return AlertLine(label, alert.name, "", Label("", alert.detail))
    return AlertLine(label, alert.name, row.anchor if row.anchor in shown else "", _when(row.seen))


def _when(seen: Seen) -> Label:
    if seen.firstMs is None:
        return Label("", "")
    count, first = seen.times, times.clock(seen.firstMs)
    return Label(
        f"出现 {count} 次，首次 {first}，共 {times.length_zh(seen.seenMs)}",
        f"{count} {'time' if count == 1 else 'times'}, first at {first}, {times.length(seen.seenMs)} in all",
    )
