"""Where the catalogue's objects lie."""

from __future__ import annotations

from dataclasses import dataclass

from shared.catalogue.positions import day_of, position_of, time_of
from shared.patterns import regex

ROWS = "catalogue/rows/"  # the rows that are not sealed yet
PUBLISHED = "catalogue/published/"  # <jobId>.json: when the job was published, and so where its row stands
JOBS = "catalogue/jobs/"  # dt=YYYY-MM-DD/part-*.ndjson.gz: the rows of a finished day
APPEARANCES = "catalogue/appearances/"  # likewise: the timelines of the same jobs
_ROW = regex(r"catalogue/rows/(?P<position>[0-9]{13}~(?P<job_id>[A-Za-z0-9_-]{1,64})\.)(?P<revision>[0-9]{1,15})\.json")
_PART = regex(
    r"catalogue/(?:jobs|appearances)/dt=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/part-(?P<newest>[0-9]{13})-(?P<oldest>[0-9]{13})-"
    r"[0-9a-f]{16}\.ndjson\.gz"
)


@dataclass(frozen=True, slots=True)
class OpenRow:
    """The object of one row; it is written once and never changed."""

    key: str
    position: str
    job_id: str

    @property
    def day(self) -> str:
        """The day on which the job was published."""
        return day_of(time_of(self.position))

    @classmethod
    def parse(cls, key: str) -> OpenRow | None:
        """Read a key; None if it is none of ours."""
        match = _ROW.fullmatch(key)
        return None if match is None else cls(key, match["position"], match["job_id"])


@dataclass(frozen=True, slots=True)
class Part:
    """One file of rows; ``newest`` and ``oldest`` are the positions between which they lie."""

    key: str
    day: str
    newest: str
    oldest: str

    @classmethod
    def parse(cls, key: str) -> Part | None:
        """Read a key; None if it is none of ours."""
        match = _PART.fullmatch(key)
        if match is None or day_of(time_of(match["newest"])) != match["day"]:
            return None
        return cls(key, match["day"], match["newest"], match["oldest"])


def row_key(at: int, job_id: str, revision: int) -> str:
    """Return where the row of a job lies that was published at ``at`` (ms)."""
    return f"{ROWS}{position_of(at, job_id)}{revision}.json"


def published_key(job_id: str) -> str:
    """Return where it stands when a job was published."""
    return f"{PUBLISHED}{job_id}.json"
