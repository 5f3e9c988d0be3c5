"""Whom a reviewer has to see first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.patterns import regex
from shared.smarttag.model import Alert, AlertKind, Concept, Person, Seen

_ALERTS: dict[str, AlertKind] = {
    "sensitive": "sensitive-person",
    "敏感人物": "sensitive-person",
    "politician": "politician",
    "政治人物": "politician",
}
_COMMAS = regex("[,，、;；]")


def members(category: str) -> list[str]:
    """Return the categories of a list of them with commas."""
    return [stripped for member in _COMMAS.split(category) if (stripped := member.strip())]


def alert_kinds(category: str) -> list[AlertKind]:
    """Return what a category of people, or a list of them with commas, has to warn of: the one rule for every Type."""
    found = (_ALERTS.get(member.lower()) for member in members(category))
    return list(dict.fromkeys(kind for kind in found if kind))


def alert_kinds_of(seen: Seen) -> list[AlertKind]:
    """Return what a person or a concept has to warn of."""
    if isinstance(seen, Person):
        return alert_kinds(seen.category)
    return alert_kinds(f"{seen.level1},{seen.level2}") if isinstance(seen, Concept) else []


def alerts(persons: Iterable[Person], concepts: Iterable[Concept]) -> tuple[Alert, ...]:
    """Return the sensitive persons, each once."""
    found: dict[tuple[str, str], Alert] = {}
    for kind, name, seen in _sensitive(persons, concepts):
        found.setdefault((kind, name), Alert(kind, name, _detail(seen)))
    return tuple(found.values())


def _sensitive(persons: Iterable[Person], concepts: Iterable[Concept]) -> Iterator[tuple[AlertKind, str, Seen]]:
    for person in persons:
        for kind in alert_kinds_of(person):
            yield kind, person.name, person
    for concept in concepts:
        for kind in alert_kinds_of(concept):
            yield kind, concept.name, concept


def _detail(seen: Seen) -> str:
    times = f"{seen.times} appearance{'' if seen.times == 1 else 's'}"
    if seen.firstMs is None:
        return times
    return f"{times}, first at {seen.firstMs / 1000:.3f} s, {seen.seenMs / 1000:.3f} s in all"
