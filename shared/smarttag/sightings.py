"""The hot path: hundreds of thousands of appearances become ranges, a best score, shots and a best frame."""

from __future__ import annotations

from dataclasses import dataclass

from shared.smarttag.draft import Draft, Track
from shared.smarttag.model import BestFrame, Occurrence
from shared.smarttag.notes import Item, Json
from shared.smarttag.ranges import MAX_MS

_LIMIT = MAX_MS / 1000
_NO_SCORE = -1.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose appearances are read: a row of the timeline, and the track they go to."""

    kind: str
    name: str
    group: str
    track: Track


def read(subject: Subject, raw: Json, path: str, draft: Draft, keys: tuple[str, str] = ("from", "to")) -> None:
    """Read the appearances of one row, in seconds, into the subject's track."""
    notes, track, timeline = draft.notes, subject.track, draft.occurrences
    begin, end = keys
    ranges, shots, total, before = track.ranges, track.shots, 0, len(track.ranges)
    best, best_index = (_NO_SCORE - 1 if before == 0 else _NO_SCORE if track.score is None else track.score), -1
    rows = notes.array(raw, path)
    for index, row in enumerate(rows):
        try:
            first, last, score = row[begin], row[end], row["score"]
            # Exact types: true would pass as 1, and "0.5" needs a warning.
            plain = type(first) is type(last) is type(score) is float and 0.0 <= first <= last <= _LIMIT
        except (KeyError, TypeError):
            plain = False
        if plain and (score >= 0.0 or score == _NO_SCORE):
            span = (round(first * 1000), round(last * 1000))
        else:
            where = f"{path}[{index}]"
            odd = notes.range(row, where)
            if odd is None:
                continue
            span, score = odd, notes.score(row.get("score"), f"{where}.score")
            score = _NO_SCORE if score is None else score
        ranges.append(span)
        total += span[1] - span[0]
        if score > best:
            best, best_index = score, index
        if "scene" in row:
            scene = row["scene"]
            if type(scene) is not str:
                scene = notes.text(scene, f"{path}[{index}].scene")
            shots[scene] = shots.get(scene, 0) + 1
        if timeline is not None:
            known = None if score == _NO_SCORE else score
            timeline.append(Occurrence(subject.kind, subject.name, subject.group, *span, known))
    track.count += len(ranges) - before
    track.total += total
    if best_index >= 0:
        track.add_score(None if best == _NO_SCORE else best)
        if subject.kind == "person":
            score = None if best == _NO_SCORE else best
            track.frame = frame(rows[best_index], f"{path}[{best_index}]", score, draft)


def frame(row: Item, path: str, score: float | None, draft: Draft) -> BestFrame:
    """Return the frame of an appearance; where it names no moment, that is its begin, or 0 in an image."""
    notes, at, scene = draft.notes, None, row.get("scene")
    if row.get("timestamp") is not None:
        at = notes.ms(row["timestamp"], f"{path}.timestamp")
    if at is None:
        at = notes.ms(row.get("from", row.get("startTime", 0)), path)
    position = notes.object(row.get("position"), f"{path}.position")
    kept = notes.plain(position, f"{path}.position") or None
    return BestFrame(at or 0, score, scene if isinstance(scene, str) else "", kept)
