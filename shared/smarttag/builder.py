"""What is known of a job while its results are read, one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.smarttag.checked_values import Notes
from shared.smarttag.duration import Share
from shared.smarttag.model import (
    BestFrame,
    Chapter,
    Classification,
    Link,
    Nlp,
    Occurrence,
    Range,
    ScreenText,
    ScreenTextItem,
    Segment,
)
from shared.smarttag.ranges import length, union

UNKNOWN = "unknown"  # the category of a face without a name
NO_SCORE = -1.0  # how the vendor writes that there is no confidence
Key = TypeVar("Key")


@dataclass(slots=True)
class Track:
    """Everything seen of one thing, over all the rows that speak of it."""

    ranges: list[Range] = field(default_factory=list)
    count: int = 0
    total: int = 0
    score: float | None = None
    ratio: float | None = None
    shots: Counter[str] = field(default_factory=Counter)
    frame: BestFrame | None = None

    def better(self, score: float | None) -> bool:
        """Return whether a frame of this score would be the best so far; the first of equals stays."""
        return self.frame is None or (score is not None and (self.score is None or score > self.score))

    def add(self, ranges: list[Range], score: float | None, count: int | None = None) -> None:
        """Take the appearances of one row and the best of their scores."""
        self.ranges += ranges
        self.total += length(ranges)
        self.count += len(ranges) if count is None else count
        if score is not None and (self.score is None or score > self.score):
            self.score = score

    def add_ratio(self, ratio: float | None) -> None:
        """Take the ratio of one row; like the times they stand for, the ratios of several rows add up."""
        if ratio is not None:
            self.ratio = ratio if self.ratio is None else round(self.ratio + ratio, 6)

    def seen(self) -> dict[str, Any]:
        """Return the fields of ``Seen``."""
        appearances = union(self.ranges)
        return {
            "ratio": self.ratio,
            "seenMs": self.total if len(appearances) == len(self.ranges) else length(appearances),
            "sumMs": self.total,
            "firstMs": appearances[0][0] if appearances else None,
            "lastMs": appearances[-1][1] if appearances else None,
            "appearances": appearances,
            "appearanceCount": self.count,
            "bestScore": self.score,
        }


@dataclass(slots=True)
class Shown:
    """One distinct text on screen."""

    textType: str | None
    firstMs: int
    lastMs: int
    count: int = 0
    score: float = NO_SCORE


@dataclass(slots=True)
class Screen:
    """Text on screen: by distinct text, and by the text as it was written, blanks around it included."""

    frames: int = 0
    texts: dict[str, Shown] = field(default_factory=dict)
    spelled: dict[str, Shown] = field(default_factory=dict)

    def freeze(self) -> ScreenText:
        """Return the distinct texts, the most frequent first."""
        items = [
            ScreenTextItem(text, t.count, t.firstMs, t.lastMs, None if t.score == NO_SCORE else t.score, t.textType)
            for text, t in self.texts.items()
        ]
        items.sort(key=lambda item: (-item.count, item.firstMs, item.text))
        return ScreenText(self.frames, sum(item.count for item in items), len(items), tuple(items))


@dataclass(slots=True)
class Draft:
    """One job in the making. ``occurrences`` is None where only the summary is wanted."""

    notes: Notes
    occurrences: list[Occurrence] | None
    persons: dict[tuple[str, str, int], Track] = field(default_factory=dict)  # name, category, number of unknown face
    tags: dict[tuple[str, str], Track] = field(default_factory=dict)  # group, name
    concepts: dict[tuple[str, str, str, str], Track] = field(default_factory=dict)  # kind, level1, level2, label
    knowledge: dict[tuple[str, str, str, str], dict[str, Any]] = field(default_factory=dict)
    classifications: list[Classification] = field(default_factory=list)
    textTags: dict[str, dict[str, None]] = field(default_factory=dict)
    segments: list[Segment] | None = None
    dictated: list[Segment] = field(default_factory=list)  # by NLP
    screen: Screen | None = None
    chapters: list[Chapter] = field(default_factory=list)
    nlp: Nlp | None = None
    title: str | None = None
    links: list[Link] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)

    def saw(self, kind: str, name: str, group: str, span: Range, score: float | None = None) -> None:
        """Take one row of the timeline."""
        if self.occurrences is not None:
            self.occurrences.append(Occurrence(kind, name, group, *span, score))

    def track(self, tracks: dict[Key, Track], key: Key, path: str) -> Track:
        """Return the track of a key, a new one or that of an earlier row."""
        track = tracks.get(key)
        if track is None:
            track = tracks[key] = Track()
        else:
            self.notes.add("merged-rows", path, "an earlier row has the same name; united with it, their ratios added")
        return track
