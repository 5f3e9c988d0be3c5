"""What the report shows, in the order it shows it: rows, labels in both languages, and how much was left out.

The page must stay small whatever a job holds, so every list has a limit and says how many entries lie beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from unicodedata import ucd_3_2_0 as ucd  # the same in every Python, and so is the page

from shared.smarttag.model import Alert, Analysis, Concept, Person, ScreenTextItem, Seen, Segment, Summary, Tag
from shared.smarttag.report import geometry

T = TypeVar("T")
_SHORT = 40  # characters of a value where a label is usual
_ELLIPSIS = "…"
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"})  # not Cn: what is younger than the data can be seen,
_YOUNG = frozenset("\u061c\u2066\u2067\u2068\u2069")  # but for these marks of direction


class Label(NamedTuple):
    """One label in Chinese and English."""

    zh: str
    en: str


CATEGORIES = {
    "politician": Label("政治人物", "politician"),
    "sensitive": Label("敏感人物", "sensitive"),
    "celebrity": Label("名人", "celebrity"),
    "custom": Label("自定义人物", "custom"),
    "unknown": Label("未知人脸", "unknown"),
}
ALERTS = {
    "politician": CATEGORIES["politician"],
    "sensitive-person": CATEGORIES["sensitive"],
}
SHOTS = {
    "closeUp": Label("特写", "close-up"),
    "medium-closeUp": Label("近景", "medium close-up"),
    "medium": Label("中景", "medium"),
    "medium-long": Label("全景", "long"),
}
CONCEPTS = {
    "cate": Label("类目", "category"),
    "entity": Label("实体", "entity"),
    "hotword": Label("热词", "hot word"),
    "freeTag": Label("自由标签", "free tag"),
}
SCENES = {
    "interview": Label("访谈", "interview"),
    "lecture": Label("讲座", "lecture"),
    "meeting": Label("会议", "meeting"),
}
STATUSES = {
    "Success": Label("分析完成", "Success"),
    "Fail": Label("分析失败", "Failed"),
    "Processing": Label("分析中", "Processing"),
    "Submitted": Label("已提交", "Submitted"),
}
KINDS = {"video": Label("视频", "video"), "image": Label("图片", "image"), "unknown": Label("媒体文件", "media file")}
TEXT_TYPES = {"0": Label("字幕", "caption"), "1": Label("滚动", "rolling"), "2": Label("固定", "fixed")}
STATES = {
    "ok": Label("正常", "ok"),
    "empty": Label("空", "empty"),
    "failed": Label("分析失败", "failed"),
    "invalid": Label("无法解析", "unreadable"),
    "unknown": Label("未知类型", "unknown type"),
}
ARTIFACTS = {
    "summary.json": Label("摘要数据", "Summary, JSON"),
    "subtitles.vtt": Label("字幕 WebVTT", "Subtitles, WebVTT"),
    "subtitles.srt": Label("字幕 SRT", "Subtitles, SRT"),
    "transcript.txt": Label("文字稿", "Transcript, plain text"),
    "timeline.ndjson": Label("逐条时间线", "Timeline, one row per appearance"),
    "response.json": Label("原始响应", "Raw response of MPS"),
    "manifest.json": Label("文件清单", "Manifest"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How many entries of each kind are shown, and how many characters of a name and of a text."""

    persons: int = 50
    tags: int = 100
    concepts: int = 60
    ranges: int = 12
    segments: int = 2500
    screen: int = 300
    entries: int = 100
    name: int = 240
    text: int = 2000
    speech: int = 90_000  # characters of the whole transcript

    def divided(self, by: int) -> Limits:
        """Return limits that are ``by`` times as strict, for a page that came out too large."""
        return Limits(*(max(1, getattr(self, name) // by) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Capped(Generic[T]):
    """The first entries of a list, and how many more there are."""

    items: tuple[T, ...]
    rest: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline. ``style`` names the look of its bar; ``facts`` are label and value."""

    name: str
    note: str
    badge: Label | None
    style: str
    path: str
    seenMs: int
    share: str
    count: int
    score: float | None
    facts: tuple[tuple[Label, str], ...]
    ranges: Capped[str]
    shot: str
    corners: str


@dataclass(frozen=True, slots=True)
class Band:
    """Rows of one kind, under one heading."""

    label: Label
    total: int
    rows: Capped[Row]
    restAppearances: int


def visible(text: str, limit: int) -> str:
    """Return ``text`` as it can stand in HTML, cut after ``limit`` characters, never invisible.

    Control characters, which HTML cannot carry, become U+FFFD; a text of invisible characters only is spelt out as
    code points, since an editor cannot point at nothing.
    """
    cut = text if len(text) <= limit else text[:limit] + _ELLIPSIS
    clean = "".join(c if c in "\n\t" or ucd.category(c) not in ("Cc", "Cs") else "\ufffd" for c in cut)
    if any(c not in _YOUNG and ucd.category(c) not in _INVISIBLE for c in clean):
        return clean
    return " ".join(f"U+{ord(c):04X}" for c in text[:8]) or "—"


def cap(items: Sequence[T], limit: int) -> Capped[T]:
    """Return the first ``limit`` items and the count of the others."""
    return Capped(tuple(items[:limit]), max(0, len(items) - limit))


def speech(segments: Sequence[Segment], limits: Limits) -> Capped[Segment]:
    """Return as many segments as may be shown, by count and by characters."""
    room, shown = limits.speech, 0
    for segment in segments[: limits.segments]:
        room -= min(len(segment.text), limits.text)
        if room < 0:
            break
        shown += 1
    return cap(segments, shown)


def headline(summary: Summary) -> str:
    """Return what to call this media: its title, else who is in it, else what it is about, else its job."""
    named = [p.name for p in summary.persons if p.category != "unknown"]
    about = [c for one in summary.classifications[:1] for c in (one.category1, one.category2) if c]
    who = "、".join(named[:3]) + (" 等" if len(named) > 3 else "")  # noqa: PLR2004 - as many as a headline holds
    return summary.title or who or " · ".join(about) or f"任务 {summary.jobId}"


def seen_zh(summary: Summary, alert: Alert) -> str:
    """Say in Chinese how often and how long the person of an alert is seen; nothing where it has no times."""
    label = ALERTS.get(alert.kind, Label("", ""))
    found: list[Seen] = [p for p in summary.persons if p.name == alert.name and CATEGORIES.get(p.category) == label]
    found += [c for c in summary.concepts if label.zh and c.label == alert.name and label.zh in c.level2]
    return "；".join(
        f"出现 {seen.appearanceCount} 次，首次 {geometry.clock(seen.firstMs)}，共 {geometry.length_zh(seen.seenMs)}"
        for seen in found[:1]
        if seen.firstMs is not None
    )


@dataclass(frozen=True, slots=True)
class Timeline:
    """The axis, the chapters above it, the speech, and everybody and everything that was seen."""

    axis: geometry.Axis
    chapters: Capped[tuple[float, float, str]]  # left and width in percent, headline
    speech: str
    bands: tuple[Band, ...]


def timeline(analysis: Analysis, limits: Limits) -> Timeline:
    """Lay everything that has a time on one axis."""
    summary = analysis.summary
    seen: list[Seen] = [*summary.persons, *summary.tags, *summary.concepts]
    segments = analysis.segments or ()
    ends = [s.lastMs or 0 for s in seen] + [s.toMs for s in segments] + [c.endMs for c in summary.chapters]
    axis = geometry.axis(max([summary.media.durationMs or 0, *ends]))
    chapters = [
        (round(c.startMs * 100 / axis.spanMs, 3), round(max(c.endMs - c.startMs, 0) * 100 / axis.spanMs, 3), c.headline)
        for c in summary.chapters
        if 0 <= c.startMs < axis.spanMs
    ]
    spoken = geometry.path(sorted((s.fromMs, s.toMs) for s in segments), axis.spanMs)
    return Timeline(axis, cap(chapters, limits.entries), spoken, tuple(bands(summary, axis.spanMs, limits)))


def bands(summary: Summary, span_ms: int, limits: Limits) -> Iterable[Band]:
    """Return the persons, the unknown faces, the tags and the concepts that there are."""
    # Whom a reviewer must not miss is never among those left out for want of room.
    named = sorted((p for p in summary.persons if p.category != "unknown"), key=lambda p: not p.sensitive)
    unknown = [p for p in summary.persons if p.category == "unknown"]
    wanted: tuple[tuple[Label, Sequence[Seen], int], ...] = (
        (Label("已识别人物", "People recognised"), named, limits.persons),
        (Label("未知人脸", "Unknown faces"), unknown, max(limits.persons - len(named), limits.persons // 3)),
        (Label("画面标签", "Visual tags"), summary.tags, limits.tags),
        (Label("概念", "Concepts"), summary.concepts, limits.concepts),
    )
    for label, entries, limit in wanted:
        if entries:
            rows = tuple(_row(entry, span_ms, limits) for entry in entries[:limit])
            beyond = sum(entry.appearanceCount for entry in entries[limit:])
            yield Band(label, len(entries), Capped(rows, max(0, len(entries) - limit)), beyond)


def _row(entry: Seen, span_ms: int, limits: Limits) -> Row:
    name, note, badge, style = _identity(entry)
    frame = entry.bestFrame if isinstance(entry, Person) else None
    ranges = [f"{geometry.clock(start)}–{geometry.clock(end)}" for start, end in entry.appearances[: limits.ranges]]
    return Row(
        name=visible(name, limits.name),
        note=visible(note, limits.name) if note else "",
        badge=badge,
        style=style,
        path=geometry.path(entry.appearances, span_ms),
        seenMs=entry.seenMs,
        share="" if entry.ratio is None or entry.ratio > 1 else f"{entry.ratio:.1%}",  # of merged rows that overlap
        count=entry.appearanceCount,
        score=entry.bestScore,
        facts=tuple((label, visible(value, limits.name)) for label, value in _facts(entry)),
        ranges=Capped(tuple(ranges), max(0, len(entry.appearances) - limits.ranges)),
        shot=_shot(frame.scene) if frame else "",
        corners=_corners(frame.position or {}) if frame else "",
    )


def _identity(entry: Seen) -> tuple[str, str, Label | None, str]:
    if isinstance(entry, Person):
        badge = CATEGORIES.get(entry.category) or Label(f"人物库 {visible(entry.category, _SHORT)}", "library")
        style = "alert" if entry.sensitive else "unknown" if entry.category == "unknown" else "person"
        return entry.name, "", badge if entry.category not in ("", "unknown") else None, style
    if isinstance(entry, Tag):
        return entry.name, entry.group, None, "tag"
    if isinstance(entry, Concept):
        levels = [level for level in (entry.level1, entry.level2) if level]
        name = entry.label or (levels.pop() if levels else "")
        return name, " / ".join(levels), CONCEPTS.get(entry.kind) or Label(visible(entry.kind, _SHORT), ""), "concept"
    raise TypeError(type(entry).__name__)


def _facts(entry: Seen) -> Iterable[tuple[Label, str]]:
    if entry.bestScore is not None:
        yield Label("最高置信度", "best score"), f"{entry.bestScore:.3f}"
    if isinstance(entry, Person):
        if entry.shots:
            shots = (f"{_shot(s)} {n}×" for s, n in list(entry.shots.items())[:8])
            yield Label("景别", "shots"), "，".join(shots)
        if entry.bestFrame:
            yield Label("最佳画面", "best frame"), geometry.clock(entry.bestFrame.timestampMs)
    if isinstance(entry, Concept) and entry.knowledge:
        for key, value in list(entry.knowledge.items())[:8]:
            if isinstance(value, str | int | float) and value != "":
                yield Label(visible(key, _SHORT), ""), str(value)


def _shot(scene: str) -> str:
    return SHOTS[scene].zh if scene in SHOTS else visible(scene, _SHORT)


def _corners(box: dict[str, Any]) -> str:
    """Write a face box as the vendor gave it, corner to corner."""
    points = (box.get("leftTop"), box.get("rightBottom"))
    return " – ".join(f"({', '.join(str(n)[:12] for n in p[:2])})" for p in points if isinstance(p, list | tuple))


def by_time(items: Sequence[ScreenTextItem], limit: int) -> list[ScreenTextItem]:
    """Return the ``limit`` most often seen texts in order of their first sight, to stand beside the speech."""
    return sorted(sorted(items, key=lambda item: -item.count)[:limit], key=lambda item: item.firstMs)


def is_web(url: str) -> bool:
    """Say whether ``url`` may become a link: http or https, without blanks or control characters."""
    return re.fullmatch(r"https?://[^\s\x00-\x20\x7f]{1,2000}", url, re.IGNORECASE) is not None
