"""What is known of a job while its results are read, one after the other, and the summary made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.smarttag import duration, model
from shared.smarttag.alerts import alert_kinds, alerts
from shared.smarttag.checked_values import NO_SCORE, CheckedValues, storable
from shared.smarttag.duration import Share
from shared.smarttag.ranges import length, union
from shared.smarttag.response import Envelope
from shared.smarttag.screen_text import ScreenTextBuilder

UNKNOWN = "unknown"  # the category of a face without a name
_MOVING = {"VideoLabel", "Subtitle"}  # Types that only a video has, even where they hold nothing
_EXCERPT = 200
Key = TypeVar("Key")


@dataclass(slots=True)
class AppearanceBuilder:
    """Everything seen of one thing, over all the rows that speak of it; the first fields are those of the timeline."""

    kind: model.OccurrenceKind
    name: str
    group: str
    instance: int
    ranges: list[model.Range] = field(default_factory=list)
    count: int = 0
    total: int = 0
    score: float | None = None
    ratio: float | None = None
    shots: Counter[str] = field(default_factory=Counter)
    frame: model.BestFrame | None = None

    def is_best(self, score: float | None) -> bool:
        """Return whether a frame of this score would be the best so far; the first of equals stays."""
        return self.frame is None or (score is not None and (self.score is None or score > self.score))

    def add(self, ranges: list[model.Range], score: float | None, count: int | None = None) -> None:
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

    def build(self) -> dict[str, Any]:
        """Return the fields of ``Seen``."""
        appearances, twice = union(self.ranges)
        return {
            "ratio": self.ratio,
            "seenMs": self.total - twice,
            "sumMs": self.total,
            "firstMs": appearances[0][0] if appearances else None,
            "lastMs": appearances[-1][1] if appearances else None,
            "appearances": appearances,
            "appearanceCount": self.count,
            "bestScore": self.score,
        }


@dataclass(slots=True)
class SummaryBuilder:
    """One job in the making. ``occurrences`` is None where only the summary is wanted."""

    checked: CheckedValues
    occurrences: list[model.Occurrence] | None
    # By name, category, and the number of an unknown face, which is a person of its own.
    persons: dict[tuple[str, str, int], AppearanceBuilder] = field(default_factory=dict)
    tags: dict[tuple[str, str], AppearanceBuilder] = field(default_factory=dict)  # group, name
    # By kind, level1, level2, label.
    concepts: dict[tuple[model.ConceptKind, str, str, str], AppearanceBuilder] = field(default_factory=dict)
    knowledge: dict[tuple[model.ConceptKind, str, str, str], dict[str, Any]] = field(default_factory=dict)
    classifications: list[model.Classification] = field(default_factory=list)
    textTags: dict[str, dict[str, None]] = field(default_factory=dict)
    segments: list[model.Segment] | None = None
    transcription: list[model.Segment] = field(default_factory=list)  # the speech as NLP has it
    screen: ScreenTextBuilder | None = None
    chapters: list[model.Chapter] = field(default_factory=list)
    nlp: model.Nlp | None = None
    title: str | None = None
    links: list[model.Link] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    audioMs: int = 0  # the duration that the transcription states
    instances: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add_occurrence(
        self,
        kind: model.OccurrenceKind,
        name: str,
        group: str,
        span: model.Range,
        score: float = NO_SCORE,
        instance: int = 1,
    ) -> None:
        """Take one row of the timeline."""
        if self.occurrences is not None:
            self.occurrences.append(model.Occurrence(*span, kind, group, name, instance, score))

    def appearances(
        self, known: dict[Key, AppearanceBuilder], key: Key, row: tuple[model.OccurrenceKind, str, str], path: str
    ) -> AppearanceBuilder:
        """Return the appearances of a key, new ones or an earlier row's; ``row`` is their kind, name and group."""
        found = known.get(key)
        if found is not None:
            message = "an earlier row has the same name; united with it, their ratios added"
            self.checked.warn("merged-rows", path, message)
            return found
        self.instances[row] += 1
        found = known[key] = AppearanceBuilder(*row, self.instances[row])
        return found

    def complete(self) -> None:
        """Bring together what only all results tell: the speech of a job without ASR, and the ranges of texts."""
        if self.transcription and not self.segments:
            self.segments = self.transcription
            for segment in self.transcription:
                self.add_occurrence("speech", segment.text, "", (segment.fromMs, segment.toMs))
        if self.segments is not None:
            self.segments.sort(key=lambda segment: (segment.fromMs, segment.toMs))
        if self.screen and self.occurrences is not None:
            found = self.screen.ranges()
            self.occurrences += [
                model.Occurrence(*span, "screenText", kind or "", text, 1, score) for text, kind, span, score in found
            ]

    def build(self, job: Envelope, job_id: str, types: dict[str, model.TypeState]) -> model.Summary:
        """Return the summary of everything that was read."""
        persons = [_person(name, category, seen) for (name, category, _), seen in self.persons.items()]
        persons.sort(key=lambda person: (person.category == UNKNOWN or not person.name, -person.seenMs, person.name))
        tags = [model.Tag(**seen.build(), group=group, name=name) for (group, name), seen in self.tags.items()]
        concepts = [self._concept(key, seen) for key, seen in self.concepts.items()]
        screen = self.screen.build() if self.screen else None
        return model.Summary(
            jobId=storable(job_id),
            status=job.status,
            userData=job.userData,
            message=job.message,
            media=self._media(types, [*persons, *tags], concepts, screen),
            persons=tuple(persons),
            tags=tuple(sorted(tags, key=lambda tag: (-tag.seenMs, tag.group, tag.name))),
            classifications=tuple(self.classifications),
            textTags=tuple(model.TextTag(name, tuple(values)) for name, values in self.textTags.items()),
            transcript=None if self.segments is None else _transcript(self.segments),
            screenText=screen,
            concepts=tuple(sorted(concepts, key=lambda c: (-c.seenMs, c.kind, c.level1, c.level2, c.label))),
            chapters=tuple(sorted(self.chapters, key=lambda chapter: (chapter.startMs, chapter.endMs))),
            nlp=self.nlp,
            title=self.title,
            links=tuple(self.links),
            alerts=alerts(persons, concepts),
            types=types,
            warnings=self.checked.warnings(),
        )

    def _concept(self, key: tuple[model.ConceptKind, str, str, str], seen: AppearanceBuilder) -> model.Concept:
        kind, level1, level2, label = key
        knowledge = self.knowledge.get(key)
        return model.Concept(**seen.build(), kind=kind, level1=level1, level2=level2, label=label, knowledge=knowledge)

    def _media(
        self,
        types: dict[str, model.TypeState],
        visual: list[model.Person | model.Tag],
        concepts: list[model.Concept],
        screen: model.ScreenText | None,
    ) -> model.Media:
        """Return what was analysed: what was seen tells its kind, and whatever was seen or heard its least duration."""
        seen_until = max((seen.lastMs or 0 for seen in visual), default=0)
        seen = [concept.lastMs or 0 for concept in concepts if concept.kind != "hotword"]  # that may have been spoken
        seen += [seen_until, *(item.lastMs for item in (screen.items if screen else ()))]
        heard = [concept.lastMs or 0 for concept in concepts] + [segment.toMs for segment in self.segments or ()]
        heard += [self.audioMs, *(chapter.endMs for chapter in self.chapters)]
        latest = max(seen + heard) or None  # a picture has its only moment at 0
        kind: model.MediaKind = "video" if max(seen) or types.keys() & _MOVING else "unknown"
        if "ImageLabel" in types and "VideoLabel" not in types and not self.segments:  # a picture does not speak
            kind, latest = "image", None
        return duration.infer(kind, self.shares, seen_until, latest, self.checked)


def _person(name: str, category: str, seen: AppearanceBuilder) -> model.Person:
    values: dict[str, Any] = {**seen.build(), "shots": seen.shots, "bestFrame": seen.frame}
    return model.Person(**values, name=name, category=category, sensitive=bool(alert_kinds(category)))


def _transcript(segments: list[model.Segment]) -> model.Transcript:
    text = " ".join(" ".join(segment.text.split()) for segment in segments)
    return model.Transcript(
        segments=len(segments),
        characters=sum(len(segment.text) for segment in segments),
        spokenMs=length(union((segment.fromMs, segment.toMs) for segment in segments)[0]),
        excerpt=text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…",
    )
