"""VideoLabel and ImageLabel: persons, tags and classifications from the pictures."""

from __future__ import annotations

from collections.abc import Iterator

from shared.smarttag.builder import UNKNOWN, AppearanceBuilder, SummaryBuilder
from shared.smarttag.checked_values import NO_SCORE, Item
from shared.smarttag.duration import Share
from shared.smarttag.long_lists import batches
from shared.smarttag.model import Classification
from shared.smarttag.results import appearances

_UNKNOWN = frozenset({UNKNOWN, "未知人脸", "未知人物"})  # as the documents of both generations write it
_PERSON, _TAG = ("name", "category", "occurrences", "position"), ("mainTagName", "subTagName")
_CLASSES = ("category1", "category2")
_FIELDS = frozenset({"persons", "tags", "classifications", "success", "message"})


def video(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one VideoLabel; times are seconds. Return whether it held anything."""
    checked, found = builder.checked, False
    checked.unknown_fields(data, _FIELDS, path)
    for rows in _batches(data, path, builder):
        found = True
        for item, where, gathered in rows:
            total, count = gathered.total, gathered.count
            held = appearances.read(gathered, item.pop("occurrences", None), f"{where}.occurrences", builder)
            ratio = checked.ratio(item.get("ratio"), f"{where}.ratio")
            gathered.add_ratio(ratio)
            if ratio is not None and held and gathered.total > total:  # the ratio counts ranges that were dropped
                builder.shares.append(Share(ratio, gathered.total - total, gathered.count - count))
    return _classifications(data, path, builder) or found


def image(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one ImageLabel: each row is one appearance, without times. Return whether it held anything."""
    checked, found = builder.checked, False
    checked.unknown_fields(data, _FIELDS, path)
    for rows in _batches(data, path, builder):
        found = True
        for item, where, gathered in rows:
            score = checked.score(item.get("score"), f"{where}.score")
            if gathered.kind == "person":
                scene = checked.text(item.get("scene"), f"{where}.scene")
                if scene:
                    gathered.shots[scene] += 1
                if gathered.is_best(score):
                    gathered.frame = appearances.frame(item, where, score, checked)
            gathered.add([], score, count=1)
            known = NO_SCORE if score is None else score
            builder.add_occurrence(gathered.kind, gathered.name, gathered.group, (0, 0), known, gathered.instance)
    return _classifications(data, path, builder) or found


Row = tuple[Item, str, AppearanceBuilder]  # with its path and where its appearances are gathered


def _batches(data: Item, path: str, builder: SummaryBuilder) -> Iterator[list[Row]]:
    """Yield the persons and tags, all at once unless there are very many."""
    rows: list[Row] = []
    for name, row, known in (("persons", _person, _PERSON), ("tags", _tag, _TAG)):
        for first, batch in batches(data.get(name)):
            if first and rows:
                yield rows
                rows = []
            found = builder.checked.items(batch, f"{path}.{name}", known, first)
            rows += [row(item, where, builder) for where, item in found]
            del batch, found
    if rows:
        yield rows


def _person(item: Item, where: str, builder: SummaryBuilder) -> Row:
    name, category = (builder.checked.text(item.get(key), f"{where}.{key}") for key in _PERSON[:2])
    if category.strip().lower() in _UNKNOWN:
        category = UNKNOWN
    # Two unknown faces are two people, whatever they are called; so are two without a name.
    number = len(builder.persons) if category == UNKNOWN or not name.strip() else -1
    key = (name, category, number)
    return item, where, builder.appearances(builder.persons, key, ("person", name, category), where)


def _tag(item: Item, where: str, builder: SummaryBuilder) -> Row:
    group, name = (builder.checked.text(item.get(key), f"{where}.{key}") for key in _TAG)
    return item, where, builder.appearances(builder.tags, (group, name), ("tag", name, group), where)


def _classifications(data: Item, path: str, builder: SummaryBuilder) -> bool:
    found = builder.checked.items(data.get("classifications"), f"{path}.classifications", _CLASSES)
    for where, item in found:
        first, second = (builder.checked.text(item.get(key), f"{where}.{key}") for key in _CLASSES)
        score = builder.checked.score(item.get("score"), f"{where}.score")
        builder.classifications.append(Classification(first, second, score))
    return bool(found)
