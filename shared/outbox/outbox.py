"""What is owed is written down before it is tried, and struck off by a receipt: docs/decisions/0001-outbox.md.

Nothing here knows what is owed: an attempt is a function that returns a ``Verdict``. Every step may fail, be repeated,
or be the last thing its worker does.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from shared import keys
from shared.errors import ObjectNotFound, RelayError, RetryableError
from shared.keys import Owed
from shared.logs import log_error
from shared.storage import ObjectStore

# Seconds from one attempt to the next; 75:36 h in all, before jitter.
SCHEDULE = (60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.2
GIVE_UP = 96 * 3600.0  # seconds since it was owed, however far Retry-After or a breaker has postponed it
LEASE = 120.0  # seconds; eight times the deadline of an attempt
LONGEST_HINT = 86400.0  # seconds that Retry-After may postpone
_TRIES = 3  # of one store operation, for a lost answer; the adapters themselves wait and retry as well

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an attempt.

    ``state``: again, or its end: delivered, gone, skipped, dead, told, settled; or there was none: done (it had ended
    before), busy (another worker makes it), held (not now).
    """

    state: str
    record: dict[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


class Outbox:
    """The protocol over a store. ``clock`` counts seconds since 1970, and workers' clocks may disagree."""

    def __init__(self, store: ObjectStore, clock: Callable[[], float], rng: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng

    def now(self) -> int:
        """Return this worker's time in milliseconds."""
        return int(self._clock() * 1000)

    def owe(self, owed: Owed) -> None:
        """Write the entry; when this returns it stands."""
        surely(lambda: self._store.put(owed.key, b"{}"))

    def strike(self, owed: Owed) -> None:
        """Remove the entry. One that stays is looked at once more and removed then."""
        try:
            self._store.delete(owed.key)
        except RetryableError as error:
            log_error("outbox.strike.failed", error, level=logging.WARNING, entry=owed.key)

    def listed(self, until: int | None = None) -> Iterator[Owed]:
        """Yield what is owed in the order of its due time, up to ``until`` (milliseconds)."""
        for key in self._store.list(keys.OUTBOX):
            owed = keys.parse_owed(key)
            if owed is None:
                continue
            if until is not None and owed.due > until:
                return
            yield owed

    def find(self, key: str) -> dict[str, Any] | None:
        """Return the JSON under ``key``; None if there is nothing."""
        try:
            found: dict[str, Any] = orjson.loads(surely(lambda: self._store.get(key)))
        except ObjectNotFound:
            return None
        return found

    def fix(self, key: str, value: dict[str, Any]) -> bool:
        """Write the JSON only if the key is free; True if it now holds just this."""
        body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return surely(lambda: self._store.create(key, body))

    def step(self, owed: Owed, work: Callable[[], Verdict], lease: float = LEASE) -> Verdict:
        """Make the attempt ``owed`` asks for, or do what is left of it if it was made.

        A ``RelayError`` out of ``work`` is a failed attempt, and the end of a publication if it is permanent. A worker
        that has not said what came of it after ``lease`` seconds counts as dead, and so does one whose work says busy:
        it found that it would be too late.
        """
        begun = self._clock()
        claim = {"nonce": uuid.uuid4().hex, "lease": lease, "at": iso(int(begun * 1000))}
        if not self.fix(owed.claim, claim):
            return self._follow(owed)
        # Nobody can have ended a delivery before its first attempt was claimed, so the usual case reads nothing.
        if (owed.kind != keys.DELIVERY or owed.number > 1) and self.find(owed.receipt):
            self.strike(owed)
            return Verdict("done")
        if self._clock() - begun > lease / 2:  # a worker that was held up must not send on a lease about to end
            return Verdict("busy")
        try:
            verdict = work()
        except RelayError as error:
            state = "dead" if owed.kind == keys.PUBLISH and not error.retryable else "again"
            record = {"kind": "failed", "error": error.message}
            verdict = Verdict(state, record, getattr(error, "retry_after", None))
        return verdict if verdict.state == "busy" else self._conclude(owed, verdict, self.now())

    def _follow(self, owed: Owed) -> Verdict:
        """Somebody else claimed this attempt: finish what a dead worker left, touch nothing of a living one's."""
        if self.find(owed.receipt):
            self.strike(owed)
            return Verdict("done")
        result = self.find(owed.result)
        if result:
            return self._move(owed, result)
        claim, info = self.find(owed.claim), surely(lambda: self._store.head(owed.claim))
        if claim is None or info is None or info.age < claim["lease"]:
            return Verdict("busy")
        lost = {"kind": "lost", "error": "the worker that made this attempt ended before it could say what came of it"}
        return self._conclude(owed, Verdict("again", lost), self.now() - int(info.age * 1000))

    def _conclude(self, owed: Owed, verdict: Verdict, tried: int) -> Verdict:
        record = {"attempt": owed.number, "at": iso(tried), **verdict.record}
        if verdict.state == "again":
            due = next_due(owed, tried, verdict.retry_after, self._rng)
            if due is not None:
                result = {**record, "next": due}
                return self._move(owed, result if self.fix(owed.result, result) else self.find(owed.result) or result)
            verdict = replace(verdict, state="dead")
        if verdict.state in {"dead", "gone"}:
            self.fix(owed.dead, self._obituary(owed, record))
        self.fix(owed.receipt, {"state": verdict.state, **record})
        self.strike(owed)
        return verdict

    def _move(self, owed: Owed, result: dict[str, Any]) -> Verdict:
        self.owe(replace(owed, number=owed.number + 1, due=result["next"]))
        self.strike(owed)
        return Verdict("again", result)

    def _obituary(self, owed: Owed, last: dict[str, Any]) -> dict[str, Any]:
        earlier = [self.find(replace(owed, number=number).result) for number in range(1, owed.number)]
        return {
            **named(owed),
            "reason": last.get("error") or f"status {last.get('status')}",
            "owedAt": iso(owed.since),
            "deadAt": iso(self.now()),
            "attempts": [*filter(None, earlier), last],
        }


def next_due(owed: Owed, tried: int, retry_after: float | None, rng: random.Random) -> int | None:
    """Return when to try again after the failed attempt ``owed.number``, in milliseconds; None: give up.

    Fan-out is never given up. ``Retry-After`` only ever postpones.
    """
    if owed.kind == keys.FAN_OUT:
        wait = min(60.0 * 2 ** min(owed.number - 1, 6), 3600.0)
    elif owed.number > len(SCHEDULE) or tried - owed.since >= GIVE_UP * 1000:
        return None
    else:
        wait = SCHEDULE[owed.number - 1]
    wait *= 1 + JITTER * rng.random()
    return tried + int(1000 * max(wait, min(retry_after or 0.0, LONGEST_HINT)))


def named(owed: Owed) -> dict[str, Any]:
    """Return what ``owed`` is about, for logs and people; an event ends in its name, a hint is a state."""
    given = {"event": owed.event, "subscriber": owed.subscriber, "round": owed.round}
    return {"kind": owed.kind, "jobId": owed.job, **{name: value for name, value in given.items() if value}}


def surely(call: Callable[[], _T]) -> _T:
    """Call again where the answer may have been lost: every store operation here is safe to repeat."""
    for _ in range(_TRIES - 1):
        try:
            return call()
        except RetryableError:
            continue
    return call()


def iso(milliseconds: int) -> str:
    """Return the moment in ISO 8601, UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{rest:03d}Z", time.gmtime(seconds))
