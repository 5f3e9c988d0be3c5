"""Tell every subscriber of every event: the outbox, the subscribers and the sender put together."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from shared import keys
from shared.errors import ObjectNotFound, RelayError
from shared.keys import DELIVERY, FAN_OUT, PUBLISH, Owed
from shared.logs import log, log_error
from shared.outbox.dead_letters import DeadLetters
from shared.outbox.outbox import LEASE, Outbox, Verdict, iso, named
from shared.outbox.partitions import side_by_side
from shared.outbox.worker import sweep
from shared.storage import ObjectStore
from shared.webhooks import history, payload
from shared.webhooks.delivery_handler import Attempts, Content, Directory
from shared.webhooks.subscribers import Subscribers

if TYPE_CHECKING:  # the network half is loaded by whoever has somebody to tell
    from shared.webhooks.sender import Sender

PUBLISH_LEASE = 900.0  # seconds: a publication may decode the largest of responses
_SAME = 600_000  # milliseconds: duplicates of a late fan-out this close together write the same entries
_STATES = {"again": "owed", "held": "owed", "failed": "owed", "busy": "duplicate", "done": "duplicate"}


class Summarised(Protocol):
    """A summary; ``shared.smarttag.model.Summary``."""

    def to_json(self) -> bytes:
        """Return the canonical JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """How one subscriber fared.

    ``state``: delivered, owed (it will be tried again), skipped (``when`` does not hold), gone (410), dead, or
    duplicate (done before, or being done by another worker). ``subscriber`` is ``*`` where nobody knows yet whom to
    tell.
    """

    subscriber: str
    state: str
    detail: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the JSON form."""
        return {name: value for name, value in asdict(self).items() if value}


class Deliveries:
    """Everything about telling; see docs/decisions/0001-outbox.md. Safe to share between threads.

    Args:
        store: holds the jobs, the outbox and the dead.
        output_url: ``OUTPUT_URL``, for the bodies.
        subscribers: reads subscribers.json; raises ``SubscribersBroken``. None: webhooks are off.
        sender: makes the attempts; None likewise.
        clock: seconds since 1970.
        rng: jitter.
        threads: attempts at a time; of one subscriber at most four.
    """

    def __init__(
        self,
        store: ObjectStore,
        output_url: str,
        subscribers: Callable[[], Subscribers] | None,
        sender: Sender | None,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        threads: int = 32,
    ) -> None:
        self._store = store
        self._output_url = output_url
        self._sender = sender
        self._clock = clock
        self._threads = threads
        self._outbox = Outbox(store, clock, rng or random.Random())
        self._directory = None if subscribers is None else Directory(subscribers, clock)
        self.dead = DeadLetters(store, self._outbox)

    def told(self, job_id: str, status: str) -> bool:
        """Say whether every subscriber of this event has been told or is owed it."""
        if self._directory is None:
            return True
        return self._outbox.find(Owed(FAN_OUT, job_id, payload.NAMES[status], "", "0", 0, 0).receipt) is not None

    def tell(self, job_id: str, status: str, summary: Summarised, *, round: str = "0") -> tuple[Told, ...]:  # noqa: A002 - the protocol's word
        """Owe the event to every subscriber that wants it, then make the first attempts side by side.

        What was told first of an event is told to everybody. For a final ``status`` (as MPS spells it) the summary must
        have been stored before: later attempts read it. ``round`` is ``0``, or the ID of the request for a redelivery;
        the same ID names the same redelivery.

        Raises:
            RelayError: the store failed before anything was owed; to be called again.
        """
        if self._directory is None:
            return ()
        name, now, loaded = payload.NAMES[status], self._outbox.now(), orjson.loads(summary.to_json())
        body = payload.make_event(job_id, name, iso(now), loaded, self._output_url)
        event = {"at": now, "round": keys.round_name(round), "body": body}
        if name not in payload.FINAL:
            event["summary"] = loaded  # nothing else keeps it
        content = Content(self._store, job_id, name)
        fresh = self._outbox.fix(keys.event(job_id, name), event)
        if fresh:
            content.event, content.summary = event, loaded
        return self._tell(content, round, fresh=fresh)

    def redeliver(self, job_id: str, subscriber_id: str | None, request_id: str) -> tuple[Told, ...]:
        """Send the job's last event again, to one subscriber or to all who want it: same id, same body.

        Raises:
            ObjectNotFound: nothing was ever told of the job, or there is no such subscriber.
        """
        if self._directory is None:
            raise ObjectNotFound("webhooks are off: set SUBSCRIBERS_URL", jobId=job_id)
        content = Content(self._store, job_id, history.last_event(self._store, job_id))
        if subscriber_id is None:
            return self._tell(content, request_id, fresh=False)
        if self._directory.find(subscriber_id) is None:
            shown = ascii(subscriber_id[:64])
            raise ObjectNotFound(f"there is no subscriber {shown} in SUBSCRIBERS_URL", jobId=job_id, subscriber=shown)
        owed = replace(self._fan_out(content, request_id), kind=DELIVERY, subscriber=subscriber_id)
        self._outbox.owe(owed)
        return self._first_attempts(self._attempts(), (owed,), content)

    def state(self, job_id: str) -> list[dict[str, Any]]:
        """Return what became of every delivery of a job; see ``history.deliveries_of``."""
        return history.deliveries_of(self._store, job_id)

    def owed(self) -> list[dict[str, Any]]:
        """Return all that is owed, soonest first: kind, jobId, event, subscriber, attempt, owedAt, nextTry."""
        return [
            {**named(owed), "attempt": owed.number, "owedAt": iso(owed.since), "nextTry": iso(owed.due)}
            for owed in self._outbox.listed()
        ]

    def owe_job(self, job_id: str, hint: str, round: str = "0", *, wait: float = LEASE) -> Owed:  # noqa: A002 - the protocol's word
        """Owe a publication in ``wait`` seconds, time to try it first; return the entry for ``settle_job``.

        ``round`` is as for ``tell``.
        """
        return self.dead.owe_job(job_id, hint, wait, round)

    def settle_job(self, entry: Owed) -> None:
        """Strike off what ``owe_job`` returned: the job has been published, or buried."""
        self._outbox.strike(entry)

    def sweep(self, publish: Callable[[str, str, str], None], seconds: float) -> dict[str, int]:
        """Do what is due; begin nothing that could outlast ``seconds``.

        ``publish`` publishes a job (job ID, hint, round); it returns once that needs no further try, else raises.

        Returns:
            How many entries came to what: delivered, gone, skipped, dead, told, settled (ended now), done (had ended
            before), again (put off after a failure), busy (another worker's), held (breaker open, or subscribers.json
            unreadable), left (no time), failed.
        """
        attempts: Attempts | None = None
        if self._directory is not None:
            try:
                self._directory.now()
                attempts = self._attempts()
            except RelayError as error:
                log_error("subscribers.broken", error)

        def do(owed: Owed) -> Verdict:
            def published() -> Verdict:
                publish(owed.job, owed.event, owed.round if keys.is_asked_for(owed.round) else "0")
                return Verdict("settled")

            if owed.kind == PUBLISH:
                return self._outbox.step(owed, published, PUBLISH_LEASE)
            if attempts is None:
                return Verdict("held")
            if owed.kind == FAN_OUT:
                # The schedule of a delivery begins when it is owed, not when the fan-out was, which may wait for days.
                now = self._outbox.now()
                due = replace(owed, since=now, due=now)
                return self._outbox.step(owed, lambda: Verdict("told", _ids(self._owe_all(attempts, due))))
            return attempts.make(owed, Content(self._store, owed.job, owed.event))

        return sweep(self._outbox, lambda owed: _isolated(owed, do).state, seconds, self._threads)

    def _attempts(self) -> Attempts:
        if self._directory is None or self._sender is None:
            raise ObjectNotFound("webhooks are off: set SUBSCRIBERS_URL")
        return Attempts(self._store, self._outbox, self._directory, self._sender, self._clock)

    def _fan_out(self, content: Content, round_: str) -> Owed:
        """Name the fan-out by the time of the event where possible, so that duplicates write the same entries."""
        now = self._outbox.now()
        since = max(content.event["at"], now - now % _SAME)
        due = since + int(LEASE * 1000)
        return Owed(FAN_OUT, content.job, content.name, "", keys.round_name(round_), since, due)

    def _tell(self, content: Content, round_: str, *, fresh: bool) -> tuple[Told, ...]:
        fan_out = self._fan_out(content, round_)
        end = None if fresh and round_ == "0" else self._outbox.find(fan_out.receipt)
        if end is not None:
            return tuple(Told(subscriber, "duplicate") for subscriber in end["subscribers"])
        self._outbox.owe(fan_out)
        attempts = self._attempts()
        try:
            if round_ != "0" and fan_out.round == content.event.get("round"):
                # the first that anybody hears of it: a notification still to come is a duplicate
                first = replace(fan_out, round="0").receipt
                self._outbox.fix(first, {"state": "told", "subscribers": [], "at": iso(self._outbox.now())})
            owed = self._owe_all(attempts, fan_out)
            self._outbox.fix(fan_out.receipt, {"state": "told", **_ids(owed), "at": iso(self._outbox.now())})
        except RelayError as error:  # subscribers.json or the store: the sweep goes on from the entry
            log_error("fanout.failed", error, jobId=content.job)
            return (Told("*", "owed", error.message),)
        self._outbox.strike(fan_out)
        return self._first_attempts(attempts, owed, content)

    def _owe_all(self, attempts: Attempts, fan_out: Owed) -> tuple[Owed, ...]:
        """Owe the event to whoever wants it, and to the broken, of whom nobody can say what they want."""
        known = attempts.directory.now()
        broken = [each for each in known.broken if each.enabled]
        for each in broken:
            log("subscriber.broken", level=logging.ERROR, subscriber=each.id, reason=each.reason)
        wanted = payload.event_type(fan_out.event)
        ids = [good.id for good in known.good if good.wants(wanted) and not attempts.breakers.gone(good.id, good.url)]
        ids += [each.id for each in broken if not each.id.startswith("#")]  # those have no name to be owed by
        owed = tuple(replace(fan_out, kind=DELIVERY, subscriber=name, number=1) for name in ids)
        side_by_side([(each.subscriber, each) for each in owed], self._outbox.owe, threads=self._threads)
        return owed

    def _first_attempts(self, attempts: Attempts, owed: Sequence[Owed], content: Content) -> tuple[Told, ...]:
        told: dict[str, Told] = {}

        def attempt(each: Owed) -> None:
            verdict = _isolated(each, lambda owed: attempts.make(owed, content))
            state = _STATES.get(verdict.state, verdict.state)
            told[each.subscriber] = Told(each.subscriber, state, str(verdict.record.get("error") or ""))

        side_by_side([(each.subscriber, each) for each in owed], attempt, threads=self._threads)
        return tuple(told[each.subscriber] for each in owed)


def _isolated(owed: Owed, do: Callable[[Owed], Verdict]) -> Verdict:
    try:
        return do(owed)
    except Exception as error:  # noqa: BLE001 - the entry stays; the others must not suffer
        log_error("outbox.entry.failed", error, entry=owed.key)
        return Verdict("failed", {"error": type(error).__name__})


def _ids(owed: Sequence[Owed]) -> dict[str, list[str]]:
    return {"subscribers": [each.subscriber for each in owed]}
