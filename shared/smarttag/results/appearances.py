"""The hot path: hundreds of thousands of appearances become ranges, a best score, shots and a best frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from shared.smarttag.builder import AppearanceBuilder, SummaryBuilder
from shared.smarttag.checked_values import NO_SCORE, CheckedValues, Item, Json, without_nul
from shared.smarttag.model import BestFrame, Occurrence, Range
from shared.smarttag.ranges import MAX_MS, rounded

_LIMIT = MAX_MS / 1000
_CORNERS = frozenset({"leftTop", "rightBottom"})


def read(gathered: AppearanceBuilder, raw: Json, path: str, builder: SummaryBuilder) -> bool:
    """Gather the appearances of one row, in seconds; return whether all of its times held."""
    checked, kind = builder.checked, gathered.kind
    rows, keys = checked.array(raw, path), ("startTime", "endTime") if kind == "concept" else ("from", "to")
    held = True
    indices: Sequence[int] = range(len(rows))
    ranges, scores = _documented_ranges(rows, *keys), _documented_scores(rows)
    if ranges is None or scores is None:
        negative = checked.count("negative-time")
        repaired = {index: _repaired(row, f"{path}[{index}]", keys, checked) for index, row in enumerate(rows)}
        indices = [index for index, row in repaired.items() if row]
        held = len(indices) == len(rows) and checked.count("negative-time") == negative
        rows = [repaired[index] for index in indices]
        ranges, scores = _documented_ranges(rows, *keys), _documented_scores(rows)
    if not ranges or not scores:
        return False
    best = max(scores)
    known = None if best == NO_SCORE else best
    if kind == "person":
        gathered.shots.update(_scenes(rows, path, checked))
        gathered.shots.pop("", None)
        if gathered.is_best(known):
            first = scores.index(best)
            gathered.frame = frame(rows[first], f"{path}[{indices[first]}]", known, checked)
    gathered.add(ranges, known)
    if builder.occurrences is not None:
        group, name, instance = gathered.group, gathered.name, gathered.instance
        builder.occurrences += [
            Occurrence(*span, kind, group, name, instance, score) for span, score in zip(ranges, scores, strict=True)
        ]
    return held


def _documented_ranges(rows: list[Item], begin: str, end: str) -> list[Range] | None:
    """Return the ranges of rows whose times are all as documented, or None: rounded takes nothing but floats."""
    try:
        ranges = [
            (rounded(first * 1000), rounded(last * 1000))
            for row in rows
            if 0.0 <= (first := row[begin]) <= (last := row[end]) <= _LIMIT
        ]
    except (KeyError, TypeError):
        return None
    return ranges if len(ranges) == len(rows) else None


def _documented_scores(rows: list[Item]) -> list[float] | None:
    """Return the scores of rows whose scores are all as documented, or None."""
    try:
        scores = [score for row in rows if type(score := row["score"]) is float and (score >= 0.0 or score == NO_SCORE)]
    except (KeyError, TypeError):
        return None
    return scores if len(scores) == len(rows) else None


def _repaired(row: Json, path: str, keys: tuple[str, str], checked: CheckedValues) -> Item | None:
    """Return the row as documented, or None where it has no range; what was odd is noted."""
    row = checked.unwrapped(row, path)
    span = checked.range(row, path)
    if span is None:
        return None
    score = checked.score(row.get("score"), f"{path}.score")
    times = {key: ms / 1000 for key, ms in zip(keys, span, strict=True)}  # rounds back to the same millisecond
    return {**row, **times, "score": NO_SCORE if score is None else score}


def _scenes(rows: list[Item], path: str, checked: CheckedValues) -> Counter[str]:
    try:
        shots = Counter(map(itemgetter("scene"), rows))
        if all(type(scene) is str and "\0" not in scene for scene in shots):
            return shots
    except (KeyError, TypeError):
        pass
    scenes = [row["scene"] for row in rows if row.get("scene") is not None]
    return Counter(checked.text(scene, f"{path}[*].scene") for scene in scenes)


def frame(row: Item, path: str, score: float | None, checked: CheckedValues) -> BestFrame:
    """Return the frame of an appearance; where it names no moment, that is its begin, or 0 in an image."""
    at, scene = None, row.get("scene")
    if row.get("timestamp") is not None:
        at = checked.ms(row["timestamp"], f"{path}.timestamp")
    if at is None:
        at = checked.ms(row.get("from", row.get("startTime", 0)), path)
    scene = without_nul(scene) if isinstance(scene, str) else ""
    return BestFrame(at or 0, score, scene, _box(row.get("position"), f"{path}.position", checked))


def _box(value: Json, path: str, checked: CheckedValues) -> Item | None:
    """Return a face box as the vendor gave it, or None where it is none."""
    box = checked.object(value, path)
    if not box:
        return None
    checked.unknown_fields(box, _CORNERS, path)
    corners = {name: box.get(name) for name in sorted(_CORNERS)}
    for name, corner in corners.items():
        if not (isinstance(corner, list) and len(corner) == 2 and all(type(n) in (int, float) for n in corner)):  # noqa: PLR2004 - x, y
            checked.wrong(corner, f"{path}.{name}", "a corner, [x, y],")
            return None
    return corners
