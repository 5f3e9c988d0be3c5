"""One published job as a row of the catalogue, and how it is made of a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.catalogue.positions import iso, milliseconds, position_of

MOST = 1000  # persons, tags, keywords or alerts; named persons come first
_LONGEST = 1000  # characters of one text
_ROOM = 8000  # characters of ``texts`` in all


@dataclass(frozen=True, slots=True)
class RowPerson:
    """Who was seen, and for how long."""

    name: str
    category: str
    seenMs: int


@dataclass(frozen=True, slots=True)
class RowTag:
    """What was seen."""

    group: str
    name: str


@dataclass(frozen=True, slots=True)
class RowAlert:
    """What a reviewer should look at first."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row, in JSON with an ``_id`` before all else: of rows with one ``_id`` that with the highest revision counts.

    ``publishedAt`` is ISO 8601, UTC, and stays that of the first publication in later revisions. ``texts`` are what can
    be searched besides the other fields; they and the lists are bounded.
    """

    jobId: str
    revision: int
    status: str
    userData: str
    title: str | None
    publishedAt: str
    mediaKind: str
    durationMs: int | None
    persons: tuple[RowPerson, ...]
    tags: tuple[RowTag, ...]
    keywords: tuple[str, ...]
    alerts: tuple[RowAlert, ...]
    texts: tuple[str, ...]
    artifacts: tuple[str, ...]

    @property
    def position(self) -> str:
        """Where the row stands in the catalogue."""
        return position_of(milliseconds(self.publishedAt), self.jobId)

    def to_bytes(self) -> bytes:
        """Return one line of JSON without its end; the same row gives the same bytes."""
        return orjson.dumps({"_id": self.jobId, **{name: getattr(self, name) for name in self.__slots__}})

    def to_json(self) -> dict[str, Any]:
        """Return the row as answers and files have it."""
        found: dict[str, Any] = orjson.loads(self.to_bytes())
        return found

    @classmethod
    def from_bytes(cls, line: bytes) -> Row:
        """Read what ``to_bytes`` wrote; raise ``ValueError`` for anything else. Newer fields are left out."""
        try:
            found: dict[str, Any] = orjson.loads(line)
            milliseconds(found["publishedAt"])
            return cls(
                **{name: found[name] for name in _PLAIN},
                persons=tuple([RowPerson(each["name"], each["category"], each["seenMs"]) for each in found["persons"]]),
                tags=tuple([RowTag(each["group"], each["name"]) for each in found["tags"]]),
                keywords=tuple(found["keywords"]),
                alerts=tuple([RowAlert(each["kind"], each["name"]) for each in found["alerts"]]),
                texts=tuple(found["texts"]),
                artifacts=tuple(found["artifacts"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no row of the catalogue: {error!r}") from error


_PLAIN = ("jobId", "revision", "status", "userData", "title", "publishedAt", "mediaKind", "durationMs")


def make_row(summary: Mapping[str, Any], published_at: int, revision: int, artifacts: Sequence[str]) -> Row:
    """Return the row of a job: a pure function of its summary, the time (ms) and the revision.

    The summary is the JSON of summary.json, perhaps of an earlier version that had fewer fields.
    """
    words = [value for group in summary.get("textTags", ()) for value in group["values"]]
    nlp = summary.get("nlp") or {}
    title = summary["title"]
    return Row(
        jobId=summary["jobId"],
        revision=revision,
        status=summary["status"],
        userData=_cut(summary["userData"]),
        title=None if title is None else _cut(title),
        publishedAt=iso(published_at),
        mediaKind=summary["media"]["kind"],
        durationMs=summary["media"]["durationMs"],
        persons=tuple(RowPerson(_cut(p["name"]), _cut(p["category"]), p["seenMs"]) for p in summary["persons"][:MOST]),
        tags=tuple(RowTag(_cut(tag["group"]), _cut(tag["name"])) for tag in summary["tags"][:MOST]),
        keywords=tuple(dict.fromkeys(map(_cut, [*nlp.get("keywords", ()), *words])))[:MOST],
        alerts=tuple(RowAlert(alert["kind"], _cut(alert["name"])) for alert in summary["alerts"][:MOST]),
        texts=tuple(_bounded(_texts(summary, nlp))),
        artifacts=tuple(sorted(artifacts)),
    )


def _texts(summary: Mapping[str, Any], nlp: Mapping[str, Any]) -> Iterator[str]:
    """Yield what can be searched besides, the most telling first."""
    yield summary["message"]
    yield nlp.get("summary", "")
    yield (summary.get("transcript") or {}).get("excerpt", "")
    for each in summary.get("classifications", ()):
        yield from (each["category1"], each["category2"])
    yield from (each["headline"] for each in summary.get("chapters", ()))
    yield from (each["label"] for each in summary.get("concepts", ()))
    yield from nlp.get("topics", ())
    yield from (each["text"] for each in (summary.get("screenText") or {}).get("items", ()))


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    room = _ROOM
    for text in dict.fromkeys(filter(None, map(_cut, texts))):
        room -= len(text)
        if room < 0:
            return
        yield text


def _cut(text: str) -> str:
    return text[:_LONGEST]
