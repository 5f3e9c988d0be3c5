"""Events about the deliveries themselves, for subscribers that ask for them: what was given up, who is gone or back.

Each has an id in the place of a job's, made of what it is about: whoever finds the same thing, after a crash or beside
another worker, announces the same event. None is ever about the delivery of such an event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import RelayError
from shared.logs import log_error
from shared.outbox.outcome import State
from shared.outbox.records import Record, iso
from shared.outbox.task import FIRST, OPERATOR, Task, TaskKind
from shared.storage import ObjectStore
from shared.webhooks import payload
from shared.webhooks.endpoint_health import breaker_key, gone_recorded, record_gone
from shared.webhooks.stored_event import event_key
from shared.webhooks.subscriber_cache import SubscriberCache


@dataclass(frozen=True)
class OperatorEvents:
    """Announces them; ``store`` asks again where an answer may have been lost, ``clock`` counts seconds since 1970."""

    store: ObjectStore
    subscribers: SubscriberCache
    clock: Callable[[], float]

    def given_up(self, task: Task, state: State, record: Record) -> tuple[Task, ...]:
        """Return what is to be done so that operators hear of the end of a task, before that is recorded.

        Raises:
            RelayError: the store failed; to be called again.
        """
        if payload.is_operators(task.event):
            return ()
        about = {"reason": record.error or f"status {record.status}", "deadLetter": task.dead_letter_key}
        if task.kind is TaskKind.PUBLISH and state is State.DEAD:
            return self._announce(payload.UNPUBLISHED, task.receipt_key, {"jobId": task.job_id, **about})
        if task.kind is TaskKind.DELIVERY and state is State.DEAD:
            data = {"jobId": task.job_id, "event": payload.event_type(task.event), "subscriber": task.subscriber}
            return self._announce(payload.EXHAUSTED, task.receipt_key, {**data, **about})
        if task.kind is TaskKind.DELIVERY:  # also one that was not sent: whoever got the 410 may have died over it
            return self._gone(task.subscriber, record)
        return ()

    def recovered(self, subscriber: str, since: str) -> tuple[Task, ...]:
        """Return what is to be done so that operators hear that an endpoint is back; ``since`` it was in trouble."""
        return self._announce(
            payload.RECOVERED, f"{breaker_key(subscriber)} {since}", {"subscriber": subscriber, "since": since}
        )

    def _gone(self, name: str, record: Record) -> tuple[Task, ...]:
        if not (key := gone_recorded(record)):
            return ()  # the next event that is not sent there says it
        since = record_gone(self.store, key, record.error, self._now())
        return self._announce(payload.ENDPOINT_GONE, f"{key} {since}", {"subscriber": name, "since": since})

    def _announce(self, event: str, about: str, data: dict[str, Any]) -> tuple[Task, ...]:
        if not self._is_wanted(payload.event_type(event)):
            return ()
        name, now = OPERATOR + hashlib.sha256(about.encode()).hexdigest()[:32], self._now()
        body = {"type": payload.event_type(event), "timestamp": iso(now), "data": data}
        fixed = {"at": now, "round": FIRST, "body": body}
        self.store.create(event_key(name, event), orjson.dumps(fixed, option=orjson.OPT_SORT_KEYS))
        return (Task(TaskKind.FAN_OUT, name, event, "", FIRST, now, now),)

    def _is_wanted(self, event_type: str) -> bool:
        try:
            return bool(self.subscribers.read().wanting(event_type))
        except RelayError as error:
            log_error("fanout.postponed", error)
            return True  # whether it is turns out once the file can be read

    def _now(self) -> int:
        return int(self.clock() * 1000)
