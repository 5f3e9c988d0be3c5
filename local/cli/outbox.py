"""``smarttag outbox``: what waits, for whom, since when, why, and when it is tried next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from heapq import nsmallest
from operator import attrgetter
from typing import Annotated, Any

import typer
from rich.table import Column

from local.cli.environment import wired
from local.cli.printing import progress, say, say_json, say_table, warn_if_empty
from local.cli.times import Since, Utc, moment, shown, zone
from shared.errors import RelayError
from shared.outbox.outbox import Outbox
from shared.outbox.partitions import side_by_side
from shared.outbox.records import Claim, iso
from shared.outbox.task import Task, TaskKind
from shared.relay import Relay
from shared.webhooks.endpoint_health import TRIPS_AT, breaker_key
from shared.webhooks.subscribers import Subscribers


class Why(str, Enum):
    """Why a task waits."""

    HELD = "held by a worker"
    LOST = "its worker died"
    BACKING_OFF = "backing off"
    SPARED = "the endpoint is spared"
    SUSPENDED = "suspended"
    LATER = "not due yet"
    DUE = "due: for the next sweep"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task, why it waits, and what is known about that."""

    task: Task
    why: Why
    detail: str = ""


@dataclass
class Reasons:
    """Finds out why tasks wait, as the objects beside them say, and subscribers.json, which ``subscribers`` reads."""

    outbox: Outbox
    subscribers: Callable[[], Subscribers]
    _breakers: dict[str, str] = field(default_factory=dict)

    def of(self, task: Task) -> Waiting:
        """Return why a task waits; what cannot be read of it is no reason to show nothing."""
        try:
            return self._claimed(task) or self._last(task) or self._due(task)
        except (RelayError, ValueError, TypeError) as error:
            return Waiting(task, Why.DUE if task.due <= self.outbox.now() else Why.LATER, f"unknown: {error}")

    def _claimed(self, task: Task) -> Waiting | None:
        found, info = self.outbox.read_json(task.claim_key), self.outbox.store.head(task.claim_key)
        if found is None or info is None or self.outbox.read_json(task.result_key) is not None:
            return None
        claim, begun = Claim.from_json(found), self.outbox.now() - int(info.age * 1000)
        if info.age < claim.lease:
            return Waiting(task, Why.HELD, f"until {iso(begun + int(claim.lease * 1000))} at most")
        return Waiting(task, Why.LOST, f"it began at {iso(begun)}; the next sweep goes on")

    def _last(self, task: Task) -> Waiting | None:
        """Say what the attempt before this one failed with, as long as that keeps this one waiting."""
        if task.attempt == 1 or task.due <= self.outbox.now():
            return None
        result = self.outbox.read_json(replace(task, attempt=task.attempt - 1).result_key) or {}
        return Waiting(task, Why.BACKING_OFF, str(result.get("error") or f"status {result.get('status')}"))

    def _due(self, task: Task) -> Waiting:
        if task.due > self.outbox.now():
            return Waiting(task, Why.LATER)
        if task.kind in {TaskKind.FAN_OUT, TaskKind.DELIVERY}:
            known, unreadable = self._known
            if unreadable:
                return Waiting(task, Why.SUSPENDED, unreadable)
            if task.subscriber and task.subscriber not in known:
                return Waiting(task, Why.SUSPENDED, "the subscriber is missing from SUBSCRIBERS_URL; it has an hour")
        if task.subscriber and (error := self._breaker(task.subscriber)):
            return Waiting(task, Why.SPARED, error)
        return Waiting(task, Why.DUE)

    @cached_property
    def _known(self) -> tuple[frozenset[str], str]:
        """Who is in subscribers.json, or why that cannot be read."""
        try:
            return frozenset(self.subscribers().by_id), ""
        except RelayError as error:
            return frozenset(), error.message

    def _breaker(self, subscriber: str) -> str:
        """Return what an endpoint failed with last that is spared; empty if it is not."""
        if subscriber not in self._breakers:
            found = self.outbox.read_json(breaker_key(subscriber)) or {}
            spared = found.get("failures", 0) >= TRIPS_AT
            self._breakers[subscriber] = str(found.get("error") or "it failed too often") if spared else ""
        return self._breakers[subscriber]


def outbox(
    subscriber: Annotated[str, typer.Option(metavar="ID", help="Deliveries to this subscriber.")] = "",
    job: Annotated[str, typer.Option(metavar="ID", help="What is about this job.")] = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(min=0, help="How many to show, soonest first; 0: all.")] = 100,
    utc: Utc = False,  # noqa: FBT002 - typer's way to a flag
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array; times are in UTC.")] = False,  # noqa: FBT002 - as above
) -> None:
    """Show what waits and why: deliveries, fan-outs and publications, soonest first; --since: enqueued from then on.

    Settings come from the environment.
    """
    at_hand = wired()
    begin = moment(since, utc=utc) if since else 0
    chosen = [
        task
        for task in at_hand.outbox.listed()
        if subscriber in {"", task.subscriber} and job in {"", task.job_id} and task.enqueued_at >= begin
    ]
    total = len(chosen)
    chosen = nsmallest(limit or total, chosen, key=attrgetter("due"))
    found = _explained(at_hand, chosen)
    if as_json:
        say_json([_told(each) for each in found])
    elif not found:
        say("Nothing is waiting." if not (subscriber or job or since) else "Nothing of this is waiting.")
    else:
        where = zone(utc=utc)
        columns = (
            Column("job", no_wrap=True),
            "what",
            Column("to", no_wrap=True),
            "try",
            "since",
            f"next ({where})",
            "why",
        )
        title = f"{total:,} waiting" + (f", {len(found):,} shown: --limit" if len(found) < total else "")
        say_table(columns, (_row(each, utc=utc) for each in found), title)
    warn_if_empty(at_hand)


def _explained(at_hand: Relay, tasks: list[Task]) -> list[Waiting]:
    """Say why each waits; what lies beside it is read side by side."""
    reasons = Reasons(at_hand.outbox, at_hand.subscribers)
    with progress("Reading", len(tasks)) as told:

        def explain(task: Task) -> Waiting:
            waiting = reasons.of(task)
            told()
            return waiting

        found = side_by_side([(task.key, task) for task in tasks], explain, threads=at_hand.outbox.threads)
    return sorted(found, key=lambda each: each.task.due)


def _told(waiting: Waiting) -> dict[str, Any]:
    task = waiting.task
    times = {"attempt": task.attempt, "enqueuedAt": iso(task.enqueued_at), "nextTry": iso(task.due)}
    return {**task.describe(), **times, "why": waiting.why.value, "detail": waiting.detail}


def _row(waiting: Waiting, *, utc: bool) -> tuple[object, ...]:
    task = waiting.task
    what = f"{task.kind.value} {task.event}".strip()
    times = (shown(iso(at), utc=utc) for at in (task.enqueued_at, task.due))
    why = waiting.why.value + (f": {waiting.detail}" if waiting.detail else "")
    return task.job_id, what, task.subscriber, task.attempt, *times, why
