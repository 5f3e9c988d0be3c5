"""Whom a reviewer has to see first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.smarttag.model import Alert, AlertKind, Concept, Person, Seen

ALERT_OF_CATEGORY: dict[str, AlertKind] = {"sensitive": "sensitive-person", "politician": "politician"}
_ALERT_OF_LEVEL: dict[str, AlertKind] = {"敏感人物": "sensitive-person", "政治人物": "politician"}


def alerts(persons: Iterable[Person], concepts: Iterable[Concept]) -> tuple[Alert, ...]:
    """Return the sensitive persons, each once."""
    found: dict[tuple[str, str], Alert] = {}
    for kind, name, seen in _sensitive(persons, concepts):
        found.setdefault((kind, name), Alert(kind, name, _detail(seen)))
    return tuple(found.values())


def _sensitive(persons: Iterable[Person], concepts: Iterable[Concept]) -> Iterator[tuple[AlertKind, str, Seen]]:
    for person in persons:
        if person.sensitive:
            yield ALERT_OF_CATEGORY[person.category], person.name, person
    for concept in concepts:
        for level, kind in _ALERT_OF_LEVEL.items():
            if level in concept.level2:
                yield kind, concept.label, concept


def _detail(seen: Seen) -> str:
    times = f"{seen.appearanceCount} appearance{'' if seen.appearanceCount == 1 else 's'}"
    if seen.firstMs is None:
        return times
    return f"{times}, first at {seen.firstMs / 1000:.3f} s, {seen.seenMs / 1000:.3f} s in all"
