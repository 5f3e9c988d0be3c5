"""From the raw response to the summary: each result is decoded, read by its Type, and let go before the next."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from shared.smarttag import duration, gc_pause
from shared.smarttag.builder import UNKNOWN, Draft, Track
from shared.smarttag.checked_values import Item, Json, Notes, shown
from shared.smarttag.model import (
    Alert,
    Analysis,
    Concept,
    Person,
    Seen,
    Segment,
    Summary,
    Tag,
    TextTag,
    Transcript,
    TypeState,
)
from shared.smarttag.ranges import length, union
from shared.smarttag.response import Envelope, loads, read_envelope
from shared.smarttag.results import concepts, links, nlp, speech_text, visual

READERS: dict[str, Callable[[Json, str, Draft], bool]] = {
    "VideoLabel": visual.video,
    "ImageLabel": visual.image,
    "TextLabel": speech_text.text_label,
    "ASR": speech_text.asr,
    "OCR": speech_text.ocr,
    "Meta": speech_text.meta,
    "CPVLabel": concepts.cpv_label,
    "NLP": nlp.nlp,
    "Process": links.process,
    "Subtitle": links.subtitle,
}
_SPELLED = {name.lower(): name for name in READERS}
_WORST = ("empty", "ok", "failed", "unknown", "invalid")  # of several results of one Type, the state that is reported
_ALERTS = {"sensitive": "sensitive-person", "politician": "politician"}
_ALERT_LEVELS = {"敏感人物": "sensitive-person", "政治人物": "politician"}
_MOVING = {"VideoLabel", "ASR", "Subtitle"}  # Types that only a video has, even where they hold nothing
_EXCERPT = 200


def read(response: bytes, job_id: str, *, details: bool) -> Analysis:
    """Decode a raw response; without ``details`` the occurrences are left out.

    Raises:
        BadResponse: this is no QuerySmarttagJob response.
    """
    with gc_pause.paused():
        # All that was decoded is gone again before the collector is back and would walk it.
        return _read(response, job_id, Draft(Notes(), [] if details else None))


def _read(response: bytes, job_id: str, draft: Draft) -> Analysis:
    job = read_envelope(response, draft.notes)
    types = _read_all(job, draft)
    if draft.dictated and not draft.segments:
        draft.segments = draft.dictated
        for segment in draft.dictated:
            draft.saw("speech", segment.text, "", (segment.fromMs, segment.toMs))
    if draft.segments is not None:
        draft.segments.sort(key=lambda segment: (segment.fromMs, segment.toMs))
    summary = _summary(job, job_id, draft, types)
    segments = None if draft.segments is None else tuple(draft.segments)
    return Analysis(summary, segments, tuple(draft.occurrences or ()))


def _read_all(job: Envelope, draft: Draft) -> dict[str, TypeState]:
    states: dict[str, list[str]] = {}
    for path, result in job.take():
        if not isinstance(result, dict):
            draft.notes.wrong(result, path, "a result")
            continue
        name = draft.notes.text(result.get("Type"), f"{path}.Type")
        name = _SPELLED.get(name.lower(), name)
        states.setdefault(name, []).append(_read_one(name, result, path, draft))
    return {name: TypeState(len(found), max(found, key=_WORST.index)) for name, found in states.items()}


def _read_one(name: str, result: Item, path: str, draft: Draft) -> str:
    """Read one result and return its state."""
    notes, reader, path = draft.notes, READERS.get(name), f"{path}.Data"
    if reader is None:
        notes.add("unknown-type", path, f"a result of Type {shown(name)!r}, which this version does not know; skipped")
        return "unknown"
    try:
        data = _parse(result, path, notes)
    except orjson.JSONDecodeError:
        notes.add("invalid-json", path, "not JSON; this result is left out")
        return "invalid"
    if reader is links.process:
        return "ok" if reader(data, path, draft) else "empty"
    data = {} if data is None or data == [] else data
    parts = [(path, data)] if isinstance(data, dict) else notes.items(data, path)
    if not parts:
        return "invalid"
    failed = [where for where, part in parts if part.get("success") is False]
    for where in failed:
        notes.add("vendor-failed", where, "the vendor says that this part did not succeed")
    held = [reader(part, where, draft) for where, part in parts]
    return "ok" if any(held) else "failed" if failed else "empty"


def _parse(result: Item, path: str, notes: Notes) -> Json:
    """Return what Data holds; it is taken out of the result so that text and content are never in memory together."""
    data = result.pop("Data", None)
    if not isinstance(data, str):
        return data
    if data[:8].lower().startswith(("http://", "https://")):
        return data
    text = data.encode()
    del data
    return loads(text, path, notes) if text.strip() else None


def _summary(job: Envelope, job_id: str, draft: Draft, types: dict[str, TypeState]) -> Summary:
    persons = sorted((_person(key, track) for key, track in draft.persons.items()), key=_person_order)
    tags = [Tag(**track.seen(), group=group, name=name) for (group, name), track in draft.tags.items()]
    concepts_seen = [_concept(key, track, draft) for key, track in draft.concepts.items()]
    ends = [seen.lastMs for seen in (*persons, *tags) if seen.lastMs is not None]
    others = [seen.lastMs for seen in concepts_seen if seen.lastMs is not None]
    others += [timed.toMs for timed in draft.segments or ()] + [chapter.endMs for chapter in draft.chapters]
    screen = draft.screen.freeze() if draft.screen else None
    others += [item.lastMs for item in screen.items] if screen else []
    latest = max(ends + others, default=0) or None  # a picture has its only moment at 0
    kind = "video" if latest or types.keys() & _MOVING else "unknown"
    kind = "image" if "ImageLabel" in types and "VideoLabel" not in types else kind
    latest = None if kind == "image" else latest
    media = duration.infer(kind, draft.shares, max(ends, default=0), latest, draft.notes)
    return Summary(
        jobId=job_id,
        status=job.status,
        userData=job.userData,
        message=job.message,
        media=media,
        persons=tuple(persons),
        tags=tuple(sorted(tags, key=lambda tag: (-tag.seenMs, tag.group, tag.name))),
        classifications=tuple(draft.classifications),
        textTags=tuple(TextTag(name, tuple(values)) for name, values in draft.textTags.items()),
        transcript=None if draft.segments is None else _transcript(draft.segments),
        screenText=screen,
        concepts=tuple(sorted(concepts_seen, key=lambda c: (-c.seenMs, c.kind, c.level1, c.level2, c.label))),
        chapters=tuple(sorted(draft.chapters, key=lambda chapter: (chapter.startMs, chapter.endMs))),
        nlp=draft.nlp,
        title=draft.title,
        links=tuple(draft.links),
        alerts=_alerts(persons, concepts_seen),
        types=types,
        warnings=draft.notes.all(),
    )


def _person(key: tuple[str, str, int], track: Track) -> Person:
    name, category, _ = key
    return Person(
        **track.seen(),
        name=name,
        category=category,
        sensitive=category in _ALERTS,
        shots=track.shots,
        bestFrame=track.frame,
    )


def _person_order(person: Person) -> tuple[bool, int, str]:
    return person.category == UNKNOWN or not person.name, -person.seenMs, person.name


def _concept(key: tuple[str, str, str, str], track: Track, draft: Draft) -> Concept:
    kind, level1, level2, label = key
    known = draft.knowledge.get(key)
    return Concept(**track.seen(), kind=kind, level1=level1, level2=level2, label=label, knowledge=known)


def _transcript(segments: list[Segment]) -> Transcript:
    text = " ".join(" ".join(segment.text.split()) for segment in segments)
    return Transcript(
        segments=len(segments),
        characters=sum(len(segment.text) for segment in segments),
        spokenMs=length(union((segment.fromMs, segment.toMs) for segment in segments)),
        excerpt=text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…",
    )


def _alerts(persons: list[Person], found: list[Concept]) -> tuple[Alert, ...]:
    """Return the persons a reviewer has to see first, each once."""
    alerts: dict[tuple[str, str], Alert] = {}
    named: list[tuple[str, str, Seen]] = [
        (_ALERTS[person.category], person.name, person) for person in persons if person.sensitive
    ]
    for concept in found:
        for level, kind in _ALERT_LEVELS.items():
            if level in concept.level2:
                named.append((kind, concept.label, concept))
    for kind, name, seen in named:
        when = (
            "" if seen.firstMs is None else f", first at {seen.firstMs / 1000:.3f} s, {seen.seenMs / 1000:.3f} s in all"
        )
        times = f"{seen.appearanceCount} appearance{'' if seen.appearanceCount == 1 else 's'}"
        alerts.setdefault((kind, name), Alert(kind, name, times + when))
    return tuple(alerts.values())
