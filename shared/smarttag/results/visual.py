"""VideoLabel and ImageLabel: persons, tags and classifications from the pictures."""

from __future__ import annotations

from shared.smarttag.builder import UNKNOWN, Draft
from shared.smarttag.checked_values import Item
from shared.smarttag.duration import Share
from shared.smarttag.model import Classification
from shared.smarttag.results import appearances

_FIELDS = frozenset({"persons", "tags", "classifications", "success", "message"})


def video(data: Item, path: str, draft: Draft) -> bool:
    """Read one VideoLabel; times are seconds. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _FIELDS, path)
    rows = _rows(data, path, draft)
    for item, where, subject in rows:
        track = subject.track
        total, count = track.total, track.count
        held = appearances.read(subject, item.pop("occurrences", None), f"{where}.occurrences", draft)
        ratio = notes.ratio(item.get("ratio"), f"{where}.ratio")
        track.add_ratio(ratio)
        if ratio is not None and held and track.total > total:  # the ratio counts ranges that were dropped
            draft.shares.append(Share(ratio, track.total - total, track.count - count))
    return _classifications(data, path, draft) or bool(rows)


def image(data: Item, path: str, draft: Draft) -> bool:
    """Read one ImageLabel: each row is one appearance, without times. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _FIELDS, path)
    rows = _rows(data, path, draft)
    for item, where, subject in rows:
        track, score = subject.track, notes.score(item.get("score"), f"{where}.score")
        if subject.kind == "person":
            scene = notes.text(item.get("scene"), f"{where}.scene")
            if scene:
                track.shots[scene] += 1
            if track.better(score):
                track.frame = appearances.frame(item, where, score, notes)
        track.add([], score, count=1)
        draft.saw(subject.kind, subject.name, subject.group, (0, 0), score)
    return _classifications(data, path, draft) or bool(rows)


def _rows(data: Item, path: str, draft: Draft) -> list[tuple[Item, str, appearances.Subject]]:
    """Return the persons and tags, each with its path and the track its appearances go to."""
    notes, rows = draft.notes, []
    for where, item in notes.items(data.get("persons"), f"{path}.persons"):
        name, category = (notes.text(item.get(key), f"{where}.{key}") for key in ("name", "category"))
        # Two unknown faces are two people, whatever they are called; so are two without a name.
        number = len(draft.persons) if category == UNKNOWN or not name else -1
        track = draft.track(draft.persons, (name, category, number), where)
        rows.append((item, where, appearances.Subject("person", name, category, track)))
    for where, item in notes.items(data.get("tags"), f"{path}.tags"):
        group, name = (notes.text(item.get(key), f"{where}.{key}") for key in ("mainTagName", "subTagName"))
        track = draft.track(draft.tags, (group, name), where)
        rows.append((item, where, appearances.Subject("tag", name, group, track)))
    return rows


def _classifications(data: Item, path: str, draft: Draft) -> bool:
    found = draft.notes.items(data.get("classifications"), f"{path}.classifications")
    for where, item in found:
        first, second = (draft.notes.text(item.get(key), f"{where}.{key}") for key in ("category1", "category2"))
        score = draft.notes.score(item.get("score"), f"{where}.score")
        draft.classifications.append(Classification(first, second, score))
    return bool(found)
