"""One sweep of the outbox: what is due, side by side, fairly, and over in time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.errors import PermanentError, RelayError, RetryableError
from shared.keys import DELIVERY, FAN_OUT, PUBLISH, Owed
from shared.logs import log_error
from shared.webhooks.breaker import Breakers
from shared.webhooks.lanes import side_by_side
from shared.webhooks.outbox import GIVE_UP, Outbox, Verdict

PUBLISH_LEASE = 900.0  # seconds: a publication may decode the largest of responses
_NEEDS = {DELIVERY: 20.0, FAN_OUT: 10.0, PUBLISH: 60.0}  # seconds that must be left to begin one
_MOST = 1000  # entries of one lane in memory at a time
_PASSES = 20


@dataclass(frozen=True, slots=True)
class SweepReport:
    """How many entries came to what.

    ``counts``: delivered, gone, skipped, dead, told, settled (ended now), done (had ended before), again (put off after
    a failure), busy (another worker's), held (breaker open, or subscribers.json unreadable), left (no time), failed.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items())) or "nothing was due"


class Sweep:
    """See the module.

    Args:
        outbox: what is owed.
        clock: seconds since 1970.
        publish: publishes a job (job ID, hint), or raises.
        threads: how many entries at a time.
    """

    def __init__(
        self, outbox: Outbox, clock: Callable[[], float], publish: Callable[[str, str], None], threads: int
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._publish = publish
        self._threads = threads
        self._breakers: Breakers | None = None
        self._fan_out: Callable[[Owed], dict[str, Any]]
        self._attempt: Callable[[Owed], str]
        self._seen: set[str] = set()
        self._held: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def serve(
        self, breakers: Breakers, fan_out: Callable[[Owed], dict[str, Any]], attempt: Callable[[Owed], str]
    ) -> None:
        """Serve webhooks as well; else, as while subscribers.json cannot be read, they stay as they are.

        Args:
            breakers: who may be tried.
            fan_out: owes an event to its subscribers and returns who they are.
            attempt: makes one delivery attempt and returns its state.
        """
        self._breakers, self._fan_out, self._attempt = breakers, fan_out, attempt

    def run(self, deadline: float) -> SweepReport:
        """Go through what is due, and through what becomes due by that, for ``deadline`` seconds at most."""
        ends = self._clock() + deadline

        def work(owed: Owed) -> None:
            state = "left"
            if self._clock() + min(_NEEDS[owed.kind], deadline / 2) <= ends:
                state = self._isolated(owed)
            with self._lock:
                self._counts[state] += 1
                if state == "held":  # so is all that waits behind it: the next sweep looks again
                    self._held.add(_lane(owed))

        for _ in range(_PASSES):
            due = list(self._due())
            side_by_side(due, work, threads=self._threads)
            if not due or self._clock() >= ends:
                break
        return SweepReport(dict(self._counts))

    def _due(self) -> Iterator[tuple[str, Owed]]:
        lanes: Counter[str] = Counter()
        for owed in self._outbox.listed(self._outbox.now()):
            lane = _lane(owed)
            if lane not in self._held and owed.key not in self._seen and owed.kind in _NEEDS and lanes[lane] < _MOST:
                lanes[lane] += 1
                self._seen.add(owed.key)
                yield lane, owed

    def _isolated(self, owed: Owed) -> str:
        try:
            if owed.kind == PUBLISH:
                return self._outbox.step(owed, lambda: self._published(owed), PUBLISH_LEASE)
            if self._breakers is None:
                return "held"
            if owed.kind == FAN_OUT:
                return self._outbox.step(owed, lambda: self._fanned_out(owed))
            return self._delivered(owed, self._breakers)
        except Exception as error:  # noqa: BLE001 - the entry stays; the others must not suffer
            log_error("sweep.entry.failed", error, entry=owed.key)
            return "failed"

    def _delivered(self, owed: Owed, breakers: Breakers) -> str:
        if breakers.allows(owed.subscriber):
            return self._attempt(owed)
        if self._outbox.now() - owed.since < GIVE_UP * 1000:
            return "held"
        over = {"kind": "none", "error": f"the subscriber only failed in the {GIVE_UP // 3600:.0f} h it was owed this"}
        return self._outbox.step(owed, lambda: Verdict("dead", over))

    def _published(self, owed: Owed) -> Verdict:
        try:
            self._publish(owed.job, owed.event)
        except PermanentError as error:
            return Verdict("dead", {"kind": "failed", "error": error.message})
        except RelayError as error:
            after = error.retry_after if isinstance(error, RetryableError) else None
            return Verdict("again", {"kind": "failed", "error": error.message}, after)
        return Verdict("settled")

    def _fanned_out(self, owed: Owed) -> Verdict:
        try:
            return Verdict("told", self._fan_out(owed))
        except RelayError as error:
            return Verdict("again", {"kind": "failed", "error": error.message})


def _lane(owed: Owed) -> str:
    return owed.subscriber or f"{owed.kind}:"  # no subscriber has a colon
