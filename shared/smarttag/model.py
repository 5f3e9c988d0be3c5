"""The summary as data.

Every time is integer milliseconds from the start of the media; every field is explained in docs/summary.md, and
``shared/smarttag/summary.schema.json`` describes the JSON form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

Range = tuple[int, int]  # (fromMs, toMs), fromMs <= toMs
MediaKind = Literal["video", "image", "unknown"]
DurationSource = Literal["inferred", "maxTo"]
ConceptKind = Literal["cate", "entity", "hotword", "freeTag"]
OccurrenceKind = Literal["person", "tag", "concept", "speech", "screenText", "chapter"]
AlertKind = Literal["sensitive-person", "politician"]
ReadState = Literal["ok", "empty", "failed", "invalid", "unknown"]
Status = Literal["Success", "Fail", "Processing", "Submitted"]  # the values of shared.jobs.JobStatus, as in the JSON


@dataclass(frozen=True, slots=True)
class Media:
    """What was analysed. The response carries no duration: it is inferred from ratios, or is the latest end seen."""

    kind: MediaKind
    durationMs: int | None
    durationSource: DurationSource | None
    durationErrorMs: int | None


@dataclass(frozen=True, slots=True)
class BestFrame:
    """The appearance with the highest score; ``position`` is the vendor's face box, passed through as it came."""

    timestampMs: int
    score: float | None
    scene: str
    position: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Seen:
    """When something was there: ``appearances`` are the disjoint ranges of the union, in order."""

    ratio: float | None
    seenMs: int
    sumMs: int
    firstMs: int | None
    lastMs: int | None
    appearances: tuple[Range, ...]
    appearanceCount: int
    bestScore: float | None

    @property
    def times(self) -> int:
        """How often it appears: what overlaps or touches is one appearance; in an image, how often it is."""
        return len(self.appearances) or self.appearanceCount


@dataclass(frozen=True, slots=True)
class Person(Seen):
    """One person; an unknown face stays a person of its own."""

    name: str
    category: str
    sensitive: bool
    shots: dict[str, int]
    bestFrame: BestFrame | None


@dataclass(frozen=True, slots=True)
class Tag(Seen):
    """One visual tag: ``group`` is the vendor's main tag, ``name`` its sub tag."""

    group: str
    name: str


@dataclass(frozen=True, slots=True)
class Concept(Seen):
    """One CPVLabel entry."""

    kind: ConceptKind
    level1: str
    level2: str
    label: str
    knowledge: dict[str, Any] | None

    @property
    def name(self) -> str:
        """What to call it: MPS may leave the label empty."""
        return self.label or self.level2 or self.level1


@dataclass(frozen=True, slots=True)
class Classification:
    """One guess at what kind of programme this is."""

    category1: str
    category2: str
    score: float | None


@dataclass(frozen=True, slots=True)
class TextTag:
    """One group of words found in speech and on screen."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """How much was said; the words themselves are in the captions. ``spokenMs`` is the union of the segments."""

    segments: int
    characters: int
    spokenMs: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class ScreenTextItem:
    """One distinct text seen on screen, over all the frames that showed it."""

    text: str
    count: int
    firstMs: int
    lastMs: int
    bestScore: float | None
    textType: str | None


@dataclass(frozen=True, slots=True)
class ScreenText:
    """Text recognised in frames."""

    frames: int
    detections: int
    distinct: int
    items: tuple[ScreenTextItem, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter found by NLP."""

    startMs: int
    endMs: int
    headline: str
    summary: str


@dataclass(frozen=True, slots=True)
class Nlp:
    """What NLP made of the speech."""

    summary: str
    keywords: tuple[str, ...]
    keySentences: tuple[str, ...]
    actions: tuple[str, ...]
    questions: tuple[dict[str, str], ...]  # {question, answer}
    speakers: tuple[dict[str, str], ...]  # {id, name, summary}
    scenes: dict[str, float]  # interview | lecture | meeting -> score
    topics: tuple[str, ...] = ()  # the titles of the mind map, each before those below it
    translation: str = ""  # one sentence a line


@dataclass(frozen=True, slots=True)
class Link:
    """Something the vendor keeps elsewhere, for half a year; ``type`` is that of the result it came in."""

    type: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a reviewer should look at first."""

    kind: AlertKind
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class TypeState:
    """How one Type fared; ``count`` is how many results of it there were."""

    count: int
    state: ReadState


@dataclass(frozen=True, slots=True)
class Notice:
    """One value that was skipped, repaired or doubted. ``path`` is a JSON path into the response."""

    code: str
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything of one job that people use, as a pure function of the MPS response."""

    jobId: str
    status: Status
    userData: str
    message: str
    media: Media
    persons: tuple[Person, ...] = ()
    tags: tuple[Tag, ...] = ()
    classifications: tuple[Classification, ...] = ()
    textTags: tuple[TextTag, ...] = ()
    transcript: Transcript | None = None
    screenText: ScreenText | None = None
    concepts: tuple[Concept, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    nlp: Nlp | None = None
    title: str | None = None
    links: tuple[Link, ...] = ()
    alerts: tuple[Alert, ...] = ()
    types: dict[str, TypeState] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    schemaVersion: str = "1"

    def to_json(self) -> bytes:
        """Return canonical JSON: sorted keys, no blanks, UTF-8; the same summary gives the same bytes for ever."""
        # orjson writes dataclasses in the order of their fields and sorts only dicts.
        return orjson.dumps(orjson.loads(orjson.dumps(self)), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of speech."""

    fromMs: int
    toMs: int
    text: str


class Occurrence(NamedTuple):
    """One appearance as the vendor reported it, before ranges are united: a row of the timeline, in the order of these.

    ``instance`` counts from 1 what shares kind, name and group and yet is not one: two unknown faces of one name.
    ``score`` is -1 where there is none, so that any two can be compared.
    """

    fromMs: int
    toMs: int
    kind: OccurrenceKind
    group: str
    name: str
    instance: int
    score: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is read from one response: the summary, and the details that other artifacts need.

    ``segments`` is None when the job returned no ASR at all, and empty when it did and found none.
    """

    summary: Summary
    segments: tuple[Segment, ...] | None
    occurrences: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file a job leaves behind; ``shared.jobs.ARTIFACTS`` says of what type it is."""

    name: str
    body: bytes
