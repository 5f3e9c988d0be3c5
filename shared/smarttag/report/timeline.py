"""The rows of the report: everybody and everything that was seen, on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.smarttag.alerts import alert_kinds
from shared.smarttag.model import Analysis, Concept, Person, Range, Seen, Segment, Tag
from shared.smarttag.ranges import length, union
from shared.smarttag.report import geometry, times
from shared.smarttag.report.bounds import Capped, Limits, cap, fair, visible
from shared.smarttag.report.entries import Entry, categories
from shared.smarttag.report.labels import ALERTS, CATEGORIES, CONCEPT_ROWS, CONCEPTS, FACES, KNOWN, SHOTS, TAGS, Label

_SHORT = 40  # characters of a value where a label is usual
_LEAST_SHARE = 0.0005  # what rounds to nothing is not told as nothing
_FACTS = 8  # of shots, and of what a concept's knowledge says


@dataclass(frozen=True, slots=True)
class Badge:
    """A word beside a name; ``alert`` where a reviewer has to look."""

    label: Label
    alert: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``style`` names the look of its bar; ``facts`` are label and value; ``count`` is of united ranges."""

    anchor: str
    name: str
    group: str
    badges: tuple[Badge, ...]
    style: str
    path: str
    seenMs: int
    share: str
    count: int
    score: float | None
    facts: tuple[tuple[Label, str], ...]
    ranges: Capped[str]
    shot: Label
    corners: str


@dataclass(frozen=True, slots=True)
class Band:
    """Rows of one kind, under one heading."""

    label: Label
    total: int
    rows: Capped[Row]
    restAppearances: int


@dataclass(frozen=True, slots=True)
class Block:
    """One chapter above the axis, in percent of its width."""

    left: float
    width: float
    headline: str
    when: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The axis, the chapters above it, the speech, and everybody and everything that was seen."""

    axis: geometry.Axis
    chapters: Capped[Block]
    speech: Row | None
    bands: tuple[Band, ...]

    def anchors(self) -> frozenset[str]:
        """Return the anchors of the rows that are shown."""
        return frozenset(row.anchor for band in self.bands for row in band.rows.items)


def timeline(analysis: Analysis, found: Sequence[Entry], limits: Limits) -> Timeline:
    """Lay everything that has a time on one axis."""
    summary, segments = analysis.summary, analysis.segments or ()
    ends = [e.seen.lastMs or 0 for e in found] + [s.toMs for s in segments] + [c.endMs for c in summary.chapters]
    axis = geometry.axis(max([summary.media.durationMs or 0, *ends]))
    chapters = [
        Block(
            round(c.startMs * 100 / axis.spanMs, 3),
            round(max(c.endMs - c.startMs, 0) * 100 / axis.spanMs, 3),
            c.headline,
            _range((c.startMs, c.endMs), fine=False),
        )
        for c in summary.chapters
        if 0 <= c.startMs < axis.spanMs
    ]
    bands = tuple(_bands(found, axis.spanMs, limits))
    room = limits.ranges - sum(len(row.ranges.items) for band in bands for row in band.rows.items)
    return Timeline(axis, cap(chapters, limits.entries), _speech(segments, axis.spanMs, max(room, 1)), bands)


def _bands(found: Sequence[Entry], span_ms: int, limits: Limits) -> Iterable[Band]:
    """Return the persons, the unknown faces, the tags and the concepts that there are, the urgent ones first."""
    chosen = [(label, len(group), cap(group, limit)) for label, group, limit in _groups(found, limits)]
    shown = [entry for _, _, group in chosen for entry in group.items]
    lengths = {urgent: [len(e.seen.appearances) for e in shown if e.urgent is urgent] for urgent in (True, False)}
    most = {True: fair(lengths[True], limits.ranges)}
    most[False] = fair(lengths[False], max(0, limits.ranges - sum(min(n, most[True]) for n in lengths[True])))
    for label, total, group in chosen:
        rows = tuple(_row(entry, span_ms, limits, most[entry.urgent]) for entry in group.items)
        beyond = sum(entry.seen.times for entry in found if _label(entry) is label) - sum(r.count for r in rows)
        yield Band(label, total, Capped(rows, group.rest), beyond)


def _label(entry: Entry) -> Label:
    if isinstance(entry.seen, Person):
        return FACES if entry.seen.category == "unknown" else KNOWN
    return TAGS if isinstance(entry.seen, Tag) else CONCEPT_ROWS


def _groups(found: Sequence[Entry], limits: Limits) -> Iterable[tuple[Label, list[Entry], int]]:
    known = sum(_label(entry) is KNOWN for entry in found)
    faces = max(limits.persons - known, limits.persons // 3)
    wanted = ((KNOWN, limits.persons), (FACES, faces), (TAGS, limits.tags), (CONCEPT_ROWS, limits.concepts))
    for label, limit in wanted:
        group = sorted((entry for entry in found if _label(entry) is label), key=lambda entry: not entry.urgent)
        if group:
            urgent = sum(entry.urgent for entry in group)
            yield label, group, max(limit, min(urgent, limits.alerts))


def _speech(segments: Sequence[Segment], span_ms: int, most: int) -> Row | None:
    if not segments:
        return None
    spoken, _ = union((segment.fromMs, segment.toMs) for segment in segments)
    return Row(
        anchor="speech",
        name="语音",
        group="",
        badges=(),
        style="speech",
        path=geometry.path(spoken, span_ms),
        seenMs=length(spoken),
        share="",
        count=len(spoken),
        score=None,
        facts=(),
        ranges=_ranges(spoken, most),
        shot=Label("", ""),
        corners="",
    )


def _row(entry: Entry, span_ms: int, limits: Limits, most: int) -> Row:
    seen = entry.seen
    name, group, badges = _identity(seen)
    if entry.alike > 1:  # MPS did not hold them to be one
        badges = [Label(f"同名 {entry.alike} 张", f"{entry.alike} so named")]
    frame = seen.bestFrame if isinstance(seen, Person) else None
    urgent = tuple(Badge(CATEGORIES[ALERTS[kind]], alert=True) for kind in entry.alerts)
    return Row(
        anchor=entry.anchor,
        name=visible(name, limits.name),
        group=visible(group, limits.name) if group else "",
        badges=(*urgent, *(Badge(label, alert=False) for label in badges)),
        style="alert" if entry.urgent else _style(seen),
        path=geometry.path(seen.appearances, span_ms),
        seenMs=seen.seenMs,
        share=_share(entry),
        count=seen.times,
        score=seen.bestScore,
        facts=tuple((label, visible(value, limits.text)) for label, value in _facts(seen, name, limits)),
        ranges=_ranges(seen.appearances, most),
        shot=_shot(frame.scene) if frame else Label("", ""),
        corners=_corners(frame.position or {}) if frame else "",
    )


def _share(entry: Entry) -> str:
    if entry.share is None or entry.share > 1:  # ratios of rows that overlap
        return ""
    return "<0.1%" if 0 < entry.share < _LEAST_SHARE else f"{entry.share:.1%}"


def _ranges(ranges: Sequence[Range], most: int) -> Capped[str]:
    return Capped(tuple(_range(span) for span in ranges[:most]), max(0, len(ranges) - most))


def _range(span: Range, *, fine: bool = True) -> str:
    return f"{times.clock(span[0], fine=fine)}–{times.clock(span[1], fine=fine)}"


def _style(seen: Seen) -> str:
    if isinstance(seen, Person):
        return "unknown" if seen.category == "unknown" else "person"
    return "tag" if isinstance(seen, Tag) else "concept"


def _identity(seen: Seen) -> tuple[str, str, list[Label]]:
    """Return name, group and badges, except those of alerts."""
    if isinstance(seen, Person):
        words = [word for word in categories(seen.category) if word != "unknown" and not alert_kinds(word)]
        library = ", ".join(word for word in words if word not in CATEGORIES)
        custom = [Label(f"人物库 {visible(library, _SHORT)}", "library")] if library else []
        return seen.name, "", [CATEGORIES[word] for word in words if word in CATEGORIES] + custom
    if isinstance(seen, Tag):
        return seen.name, seen.group, []
    if isinstance(seen, Concept):
        levels = [level for level in (seen.level1, seen.level2) if level]
        name = seen.label or (levels.pop() if levels else "")
        return name, " / ".join(levels), [CONCEPTS.get(seen.kind) or Label(visible(seen.kind, _SHORT), "")]
    raise TypeError(type(seen).__name__)


def _facts(seen: Seen, name: str, limits: Limits) -> Iterable[tuple[Label, str]]:
    if len(visible(name, limits.text)) > limits.name:
        yield Label("全名", "whole name"), name
    if seen.bestScore is not None:
        yield Label("最高置信度", "best score"), f"{seen.bestScore:.3f}"
    if isinstance(seen, Person):
        if seen.shots:
            labels = ((_shot(scene), number) for scene, number in list(seen.shots.items())[:_FACTS])
            yield Label("景别", "shots"), "，".join(f"{' '.join(label).strip()} {number}×" for label, number in labels)
        if seen.bestFrame:
            yield Label("最佳画面", "best frame"), times.clock(seen.bestFrame.timestampMs)
    if seen.appearances and len(seen.appearances) != seen.appearanceCount:
        yield Label("合并前段数", "ranges before uniting"), str(seen.appearanceCount)
    if isinstance(seen, Concept) and seen.knowledge:
        for key, value in list(seen.knowledge.items())[:_FACTS]:
            if isinstance(value, str | int | float) and value != "":
                yield Label(visible(key, _SHORT), ""), visible(str(value), limits.name)


def _shot(scene: str) -> Label:
    return SHOTS.get(scene) or Label(visible(scene, _SHORT), "")


def _corners(box: dict[str, Any]) -> str:
    """Write a face box as the vendor gave it, corner to corner."""
    points = (box.get("leftTop"), box.get("rightBottom"))
    return " – ".join(f"({', '.join(str(n)[:12] for n in p[:2])})" for p in points if isinstance(p, list | tuple))
