"""What workers leave for one another in the store, and for people: claims, results, receipts, dead letters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from shared.errors import PermanentError

SCHEMA_VERSION = 2  # 1 said no version


class NewerRecord(PermanentError):
    """A newer version of this software wrote it: to be left alone."""


class AttemptKind(str, Enum):
    """What an attempt was."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"
    REFUSED = "refused"  # the address must not be dialled
    NONE = "none"  # nothing was sent
    LOST = "lost"  # its worker ended before it could say


@dataclass(frozen=True, slots=True)
class Claim:
    """Who makes an attempt since ``at`` (ms), and for how many seconds nobody else does; ``task`` is its key."""

    nonce: str
    lease: float
    at: int | str  # text in version 1
    task: str = ""
    version: int = SCHEMA_VERSION

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Claim:
        """Read a stored claim; raise ``NewerRecord`` if a newer version wrote it."""
        check_version(found)
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one attempt: the result of one that failed, the receipt of one that ended the task.

    ``detail`` holds what a kind of task adds to its receipt, such as the ``subscribers`` of a fan-out.
    """

    kind: AttemptKind | None = None
    error: str | None = None
    status: int | None = None
    durationMs: int | None = None
    excerpt: str | None = None
    attempt: int | None = None
    at: str | None = None
    next: int | None = None  # of a result: when it is tried again, in milliseconds since 1970
    state: str | None = None  # of a receipt: the end
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Record:
        """Read a stored record; raise ``NewerRecord`` if a newer version wrote it."""
        check_version(found)
        own = {name: found.get(name) for name in _FIELDS}
        rest = {name: value for name, value in found.items() if name not in own and name != "version"}
        kind = own.pop("kind")
        return cls(kind=None if kind is None else AttemptKind(kind), **own, detail=rest)

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"version": SCHEMA_VERSION, **self.shown(), **self._set("next", "state"), **self.detail}

    def shown(self) -> dict[str, Any]:
        """Return the attempt as the API and dead letters show it."""
        return self._set("attempt", "at", "kind", "status", "durationMs", "excerpt", "error")

    def _set(self, *names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


_FIELDS = tuple(each.name for each in fields(Record) if each.name != "detail")


def check_version(found: Mapping[str, Any]) -> None:
    """Raise ``NewerRecord`` if a newer version of this software wrote the record."""
    version = found.get("version", 1)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise NewerRecord(
            f"a record of version {version!r} is left alone: newer software wrote it; deploy that again",
            version=str(version),
        )


def iso(milliseconds: int) -> str:
    """Return the moment in ISO 8601, UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{rest:03d}Z", time.gmtime(seconds))
