"""What is asked of the catalogue: several filters must all hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from shared.catalogue.positions import read_time
from shared.catalogue.row import Row
from shared.errors import BadInput
from shared.jobs import JobStatus
from shared.smarttag.model import AlertKind

ANY = "any"
NAMES = ("person", "tag", "text", "userData", "status", "alert", "since", "until")
_LONGEST = 200  # characters of one filter
_FINAL = tuple(status.value for status in JobStatus if status.is_final)
_ALERTS = (ANY, *get_args(AlertKind))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows are wanted; what is empty or None does not matter.

    ``person`` and ``tag`` are whole names, ``text`` is any part of any text of the row, ``user_data`` a beginning,
    ``alert`` a kind or ``any``. ``since`` is included and ``until`` is not; both are milliseconds since 1970. Letters
    are compared without regard to case, width and signs that cannot be seen. Nothing is a wildcard.
    """

    person: str = ""
    tag: str = ""
    text: str = ""
    user_data: str = ""
    status: str = ""
    alert: str = ""
    since: int | None = None
    until: int | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Filters:
        """Read filters under the names in ``NAMES``, as a query or a form has them; an empty one is none.

        Raises:
            BadInput: a filter is wrong; the message says what to send instead.
        """
        for name, value in given.items():
            if name not in NAMES:
                raise BadInput(f"there is no filter {name[:40]!a}; the filters are {', '.join(NAMES)}")
            if len(value) > _LONGEST:
                raise BadInput(f"{name} must have at most {_LONGEST} characters")
            if any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in value):
                raise BadInput(f"{name} must hold no control characters and no ends of lines")
            if value.strip() and not fold(value).strip():
                raise BadInput(f"{name} must hold a sign that can be seen")
        texts = {name: given.get(name, "").strip() for name in NAMES}
        for name, known in (("status", _FINAL), ("alert", _ALERTS)):
            if texts[name] and texts[name] not in known:
                raise BadInput(f"{name} must be one of {', '.join(known)}")
        since, until = texts.pop("since"), texts.pop("until")
        return cls(
            user_data=texts.pop("userData"),
            since=read_time("since", since) if since else None,
            until=read_time("until", until, end=True) if until else None,
            **texts,
        )

    def match(self, row: Row) -> bool:
        """Say whether a row, published between ``since`` and ``until``, is wanted; the cheap questions come first."""
        return (
            (not self.status or row.status == self.status)
            and (not self.alert or any(self.alert in {ANY, alert.kind} for alert in row.alerts))
            and (not self.user_data or fold(row.userData).startswith(fold(self.user_data)))
            and (not self.person or _named(self.person, (person.name for person in row.persons)))
            and (not self.tag or _named(self.tag, (tag.name for tag in row.tags)))
            and (not self.text or _holds(fold(self.text), _texts(row)))
        )


def fold(text: str) -> str:
    """Return a text so that what people take for the same is the same: NFKC, without case, without unseen signs."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        if not text.isprintable():  # which is sooner asked than each sign
            text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    return text.casefold()


def _named(wanted: str, names: Iterator[str]) -> bool:
    folded = fold(wanted)
    return any(name == wanted or fold(name) == folded for name in names)


def _holds(folded: str, texts: Iterator[str]) -> bool:
    return any(folded in fold(text) for text in texts)


def _texts(row: Row) -> Iterator[str]:
    yield from (row.jobId, row.userData, row.title or "", *row.keywords, *row.texts)
    yield from (person.name for person in row.persons)
    yield from (alert.name for alert in row.alerts)
    for tag in row.tags:
        yield from (tag.group, tag.name)
