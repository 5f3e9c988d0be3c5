"""Where things lie in the object store, relative to ``OUTPUT_URL``; the only place that spells a key."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from shared.errors import BadInput

_ROUND = re.compile(r"0|r[0-9a-f]{16}")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

RESPONSE = "response.json"
SUMMARY = "summary.json"
MANIFEST = "manifest.json"


def check_job_id(job_id: str) -> str:
    """Return ``job_id``; raise ``BadInput`` unless it may become a key and a query parameter."""
    if not _JOB_ID.fullmatch(job_id):
        shown = ascii(job_id[:80])
        raise BadInput(f"job ID {shown} is not 1 to 64 characters of A-Z, a-z, 0-9, _ and -", jobId=shown)
    return job_id


def artifact(job_id: str, name: str) -> str:
    """Return the key of one artifact of a job."""
    return f"jobs/{check_job_id(job_id)}/{name}"


# Delivery state. An outbox entry is its key: `smarttag outbox` and the sweep list, and read no object.

OUTBOX = "outbox/"
DEAD = "dead/"
HEALTH = "subscribers/"
PUBLISH, FAN_OUT, DELIVERY = "publish", "fanout", "delivery"


@dataclass(frozen=True, slots=True)
class Owed:
    """One thing owed: ``number`` is the attempt to make once ``due``; both times are milliseconds since 1970.

    ``kind`` is publish (``event`` is the state hinted at, or empty), fanout, or delivery (of ``event`` to
    ``subscriber``). ``round`` is ``0`` for what a notification asked for; see ``round_name``.
    """

    kind: str
    job: str
    event: str
    subscriber: str
    round: str
    since: int
    due: int
    number: int = 1

    @property
    def key(self) -> str:
        """Where the entry lies; due first, so that listing up to now costs what is due."""
        name = (self.kind, self.job, self.event, self.subscriber, self.round, f"{self.number:02d}", str(self.since))
        return f"{OUTBOX}{self.due:013d}/{'~'.join(name)}"

    @property
    def chain(self) -> str:
        """The prefix of the claims and results of all attempts, and of the receipt."""
        if self.kind == DELIVERY:
            return f"{deliveries(self.job)}{self.event}/to/{self.subscriber}/{self.round}/"
        if self.kind == FAN_OUT:
            return f"{deliveries(self.job)}{self.event}/all/{self.round}/"
        return f"jobs/{check_job_id(self.job)}/owed/{self.event or 'any'}/{self.round}/"

    @property
    def receipt(self) -> str:
        """Holds the end of it."""
        return f"{self.chain}receipt.json"

    @property
    def claim(self) -> str:
        """Holds who makes this attempt."""
        return f"{self.chain}attempt-{self.number:02d}.claim.json"

    @property
    def result(self) -> str:
        """Holds what came of this attempt, if that was not the end."""
        return f"{self.chain}attempt-{self.number:02d}.result.json"

    @property
    def body(self) -> str:
        """Holds the bytes that every attempt of every round sends."""
        return f"{deliveries(self.job)}{self.event}/to/{self.subscriber}/body.json"

    @property
    def dead(self) -> str:
        """Where it is buried."""
        if self.kind == DELIVERY:
            return f"{DEAD}deliveries/{self.job}~{self.event}~{self.subscriber}~{self.round}.json"
        return dead_job(self.job)


def parse_owed(key: str) -> Owed | None:
    """Read an outbox key back; None if it is none of ours."""
    due, _, name = key.removeprefix(OUTBOX).partition("/")
    try:
        kind, job, event, subscriber, round_, number, since = name.split("~")
        return Owed(kind, job, event, subscriber, round_, int(since), int(due), int(number))
    except ValueError:
        return None


def round_name(request_id: str) -> str:
    """Name a round for the request that asked for it, so that a repeated request is no second redelivery.

    ``0`` and the name of a round are names already: what a sweep reads from an entry goes the way of a request.
    """
    return request_id if _ROUND.fullmatch(request_id) else "r" + hashlib.sha256(request_id.encode()).hexdigest()[:16]


def is_asked_for(round_: str) -> bool:
    """Say whether somebody asked for this round, rather than that a notification began it."""
    return round_.startswith("r")


def deliveries(job_id: str) -> str:
    """Return the prefix of everything about telling subscribers of a job."""
    return f"jobs/{check_job_id(job_id)}/deliveries/"


def event(job_id: str, name: str) -> str:
    """Return where an event (``succeeded``, ``failed``, ...) of a job is fixed."""
    return f"{deliveries(job_id)}{name}/event.json"


def dead_job(job_id: str) -> str:
    """Return where a job is buried that cannot be published."""
    return f"{DEAD}jobs/{check_job_id(job_id)}.json"


def dead_notification(digest: str, suffix: str) -> str:
    """Return where a poison message is buried: ``raw`` as it came, ``json`` why."""
    return f"{DEAD}notifications/{digest}.{suffix}"


def breaker(subscriber: str) -> str:
    """Return where a subscriber's run of failures is counted."""
    return f"{HEALTH}{subscriber}/breaker.json"


def probe(subscriber: str, window: str) -> str:
    """Return the claim on the one attempt that may be made in a window of an open breaker; a prefix if it is empty."""
    return f"{HEALTH}{subscriber}/probe-{window}"


def gone(subscriber: str, url: str) -> str:
    """Return the record that this URL answered 410; another URL starts afresh."""
    return f"{HEALTH}{subscriber}/gone-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
