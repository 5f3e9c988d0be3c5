"""What is to be done, and where it and what becomes of it lie; the only place that spells the keys of the outbox.

A task is its key: a sweep lists, and reads no object.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from shared.jobs import JobStatus, is_job_id

OUTBOX = "outbox/"
DEAD = "dead/"
OPERATOR = "operator-"  # how what stands for a job begins where an event is about none
FIRST = "0"  # the series of what a notification asked for
_DUE = r"(?P<due>[0-9]{13})"
_ABOUT = r"(?P<job_id>[^~]*)~(?P<event>[A-Za-z]*(?:-[0-9]{1,15})?)"
_WHICH = r"(?P<series>r?[0-9a-f]{1,16})~(?P<attempt>[0-9]{2,3})~(?P<enqueued_at>[0-9]{1,16})"
_KEY = re.compile(
    rf"{OUTBOX}(?P<kind>[a-z]+)~(?P<owner>[A-Za-z0-9_-]+)~[a-z]+/{_DUE}~{_ABOUT}~{_WHICH}(?P<older>~jobs)?"
)
_OLDER_KEY = re.compile(rf"{OUTBOX}{_DUE}/(?P<kind>[a-z]+)~{_ABOUT}~(?P<owner>[A-Za-z0-9_-]{{0,64}})~{_WHICH}")
_OLD_SERIES = re.compile(r"(?!r)[0-9a-f]{16}")  # of one publication, in the version before


class TaskKind(str, Enum):
    """What a handler does: publish a job, enqueue an event for everybody, deliver it to one subscriber, erase a job."""

    PUBLISH = "publish"
    FAN_OUT = "fanout"
    DELIVERY = "delivery"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one thing, to be made once it is ``due``; both times are milliseconds since 1970.

    ``event`` is the name of an event (``succeeded``, ...), of a publication the status that was reported, or nothing.
    All attempts of one ``series`` end together. ``0`` is what a notification asked for, ``2``, ``3``, ... are the
    publications of a job after one that was given up, and ``r...`` is the redelivery of that ID. ``older``: the version
    before enqueued it, and what becomes of it lies where that version looks too.
    """

    kind: TaskKind
    job_id: str
    event: str
    subscriber: str
    series: str
    enqueued_at: int
    due: int
    attempt: int = 1
    older: bool = False
    traceparent: str = field(default="", compare=False)  # of whoever asks; not in the key, so a sweep knows of none

    @property
    def partition(self) -> str:
        """Name those that are listed together: a subscriber's, or a sixteenth of a kind; retries are apart."""
        owner = self.subscriber or hashlib.sha256(self.job_id.encode()).hexdigest()[0]
        return f"{self.kind.value}~{owner}~{'first' if self.attempt <= 1 else 'retry'}"

    @property
    def key(self) -> str:
        """Where the task lies; due first in its partition, so that listing up to now costs what is due."""
        name = (f"{self.due:013d}", self.job_id, self.event, self.series, f"{self.attempt:02d}", str(self.enqueued_at))
        return f"{OUTBOX}{self.partition}/{'~'.join(name)}{'~jobs' if self.older else ''}"

    @property
    def older_key(self) -> str:
        """As the version before spells it: claims name the task so, for its instances may still be at work."""
        name = (self.kind.value, self.job_id, self.event, self.subscriber, self.series, f"{self.attempt:02d}")
        return f"{OUTBOX}{self.due:013d}/{'~'.join(name)}~{self.enqueued_at}"

    @property
    def redelivery_id(self) -> str | None:
        """Which request for sending again this is, if it is one."""
        return self.series if self.series.startswith("r") else None

    @property
    def prefix(self) -> str:
        """Of the claims and results of all attempts, and of the receipt."""
        if self.kind is TaskKind.DELIVERY:
            return f"{deliveries(self.job_id, older=self.older)}{self.event}/to/{self.subscriber}/{self.series}/"
        if self.kind is TaskKind.FAN_OUT:
            return f"{deliveries(self.job_id, older=self.older)}{self.event}/all/{self.series}/"
        if self.kind is TaskKind.ERASE:
            return f"erased/{self.job_id}/{self.series}/{self.event}/"
        if _OLD_SERIES.fullmatch(self.series):
            return f"jobs/{self.job_id}/owed/{self.event or 'any'}/{self.series}/"
        progress = {JobStatus.SUBMITTED.value, JobStatus.PROCESSING.value}
        status = self.event if self.event in progress else "final"
        return f"{deliveries(self.job_id, older=True)}publish/{status}/{self.series}/"

    @property
    def receipt_key(self) -> str:
        """Holds the end of it."""
        return f"{self.prefix}receipt.json"

    @property
    def claim_key(self) -> str:
        """Holds who makes this attempt."""
        return f"{self.prefix}attempt-{self.attempt:02d}.claim.json"

    @property
    def result_key(self) -> str:
        """Holds what came of this attempt, if that was not the end."""
        return f"{self.prefix}attempt-{self.attempt:02d}.result.json"

    @property
    def dead_letter_key(self) -> str:
        """Holds it once it was given up."""
        if self.kind is TaskKind.DELIVERY:
            return f"{DEAD}deliveries/{self.job_id}~{self.event}~{self.subscriber}~{self.series}.json"
        if self.kind is TaskKind.ERASE:
            return f"{DEAD}erasures/{self.job_id}~{self.event}~{self.series}.json"
        return f"{DEAD}jobs/{self.job_id}{'' if self.series == FIRST else f'~{self.series}'}.json"

    def describe(self) -> dict[str, Any]:
        """Return what it is about, for logs and people; an event ends in its name."""
        given = {"event": self.event, "subscriber": self.subscriber, "redeliveryId": self.redelivery_id}
        return {
            "kind": self.kind.value,
            "jobId": self.job_id,
            **{name: value for name, value in given.items() if value},
        }


def parse_key(key: str) -> Task | None:
    """Read a key of the outbox, of this version or the one before; None if it is none of ours, whoever put it there."""
    match = _KEY.fullmatch(key) or _OLDER_KEY.fullmatch(key)
    if match is None or not is_job_id(match["job_id"]) or match["kind"] not in set(TaskKind):
        return None
    kind, is_ours = TaskKind(match["kind"]), match.re is _KEY
    subscriber = match["owner"] if kind is TaskKind.DELIVERY or not is_ours else ""
    if (kind is not TaskKind.PUBLISH and not match["event"]) or (kind is TaskKind.DELIVERY) != bool(subscriber):
        return None
    task = Task(
        kind=kind,
        job_id=match["job_id"],
        event=match["event"],
        subscriber=subscriber,
        series=match["series"],
        enqueued_at=int(match["enqueued_at"]),
        due=int(match["due"]),
        attempt=int(match["attempt"]),
        older=bool(match["older"]) if is_ours else kind is not TaskKind.PUBLISH,
    )
    return task if task.key == key or not is_ours else None


def deliveries(job_id: str, *, older: bool = False) -> str:
    """Return the prefix of everything about telling subscribers of a job; ``older``: where the version before put it.

    What is decided about publishing the job still lies there: it has to outlive what is known of deliveries.
    """
    if job_id.startswith(OPERATOR):
        return f"operator/{job_id.removeprefix(OPERATOR)}/"
    return f"jobs/{job_id}/deliveries/" if older else f"deliveries/{job_id}/"


def redelivery_id(request_id: str) -> str:
    """Name a redelivery for the request that asked for it, so that a repeated request asks for no second one."""
    return "r" + hashlib.sha256(request_id.encode()).hexdigest()[:16]
