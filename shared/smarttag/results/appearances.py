"""The hot path: hundreds of thousands of appearances become ranges, a best score, shots and a best frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from shared.smarttag.builder import NO_SCORE, Draft, Track
from shared.smarttag.checked_values import Item, Json, Notes
from shared.smarttag.model import BestFrame, Range
from shared.smarttag.ranges import MAX_MS

_LIMIT = MAX_MS / 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose appearances are read: a row of the timeline, and the track they go to."""

    kind: str
    name: str
    group: str
    track: Track


def read(subject: Subject, raw: Json, path: str, draft: Draft, keys: tuple[str, str] = ("from", "to")) -> bool:
    """Read the appearances of one row, in seconds, into the subject's track; return whether all of its times held."""
    rows, track = draft.notes.array(raw, path), subject.track
    given, negative = len(rows), draft.notes.count("negative-time")
    indices: Sequence[int] = range(len(rows))
    plain = _plain(rows, *keys)
    if plain is None:
        mended = {index: _mend(row, f"{path}[{index}]", keys, draft.notes) for index, row in enumerate(rows)}
        indices = [index for index, row in mended.items() if row]
        rows = [mended[index] for index in indices]
        plain = _plain(rows, *keys)
    if not rows or plain is None:
        return False
    ranges, scores = plain
    held = len(rows) == given and draft.notes.count("negative-time") == negative
    best = max(scores)
    known = None if best == NO_SCORE else best
    if subject.kind == "person":
        track.shots.update(_scenes(rows, path, draft.notes))
        track.shots.pop("", None)
        if track.better(known):
            index = scores.index(best)
            track.frame = frame(rows[index], f"{path}[{indices[index]}]", known, draft.notes)
    track.add(ranges, known)
    if draft.occurrences is not None:
        for span, score in zip(ranges, scores, strict=True):
            draft.saw(subject.kind, subject.name, subject.group, span, None if score == NO_SCORE else score)
    return held


def _plain(rows: list[Item], begin: str, end: str) -> tuple[list[Range], list[float]] | None:
    """Return the ranges and scores of rows that are all as documented, or None: the exact types keep true out."""
    try:
        ranges = [
            (round(first * 1000), round(last * 1000))
            for row in rows
            if type(first := row[begin]) is float and type(last := row[end]) is float and 0.0 <= first <= last <= _LIMIT
        ]
        scores = [score for row in rows if type(score := row["score"]) is float and (score >= 0.0 or score == NO_SCORE)]
    except (KeyError, TypeError):
        return None
    return (ranges, scores) if len(ranges) == len(scores) == len(rows) else None


def _mend(row: Json, path: str, keys: tuple[str, str], notes: Notes) -> Item | None:
    """Return the row as documented, or None where it has no range; what was odd is noted."""
    span = notes.range(row, path)
    if span is None:
        return None
    score = notes.score(row.get("score"), f"{path}.score")
    times = {key: ms / 1000 for key, ms in zip(keys, span, strict=True)}  # rounds back to the same millisecond
    return {**row, **times, "score": NO_SCORE if score is None else score}


def _scenes(rows: list[Item], path: str, notes: Notes) -> Counter[str]:
    try:
        shots = Counter(map(itemgetter("scene"), rows))
        if all(type(scene) is str for scene in shots):
            return shots
    except (KeyError, TypeError):
        pass
    scenes = [row["scene"] for row in rows if row.get("scene") is not None]
    return Counter(notes.text(scene, f"{path}[*].scene") for scene in scenes)


def frame(row: Item, path: str, score: float | None, notes: Notes) -> BestFrame:
    """Return the frame of an appearance; where it names no moment, that is its begin, or 0 in an image."""
    at, scene = None, row.get("scene")
    if row.get("timestamp") is not None:
        at = notes.ms(row["timestamp"], f"{path}.timestamp")
    if at is None:
        at = notes.ms(row.get("from", row.get("startTime", 0)), path)
    position = notes.object(row.get("position"), f"{path}.position")
    kept = notes.plain(position, f"{path}.position") or None
    return BestFrame(at or 0, score, scene if isinstance(scene, str) else "", kept)
