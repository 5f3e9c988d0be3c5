"""What an operator asks of subscribers: how they are, whether they answer, and to have one told again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from shared.errors import BadInput, ObjectNotFound
from shared.outbox.dead_letters import DeadLetters, Selection, subscriber_of
from shared.outbox.outcome import State
from shared.outbox.records import AttemptKind, iso
from shared.outbox.task import Task
from shared.storage import ObjectStore
from shared.webhooks.endpoint_health import HEALTH, TRIPS_AT, breaker_key, gone_key
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers

if TYPE_CHECKING:
    from shared.webhooks.sender import Attempt, Sender

TEST_EVENT = "smarttag.test"


class Health(str, Enum):
    """How a subscriber is doing."""

    OK = "ok"
    FAILING = "failing"  # its last attempts failed
    SPARED = "spared"  # so many of them that it gets one attempt in five minutes
    GONE = "gone"  # it answered 410 at this URL
    FAULTY = "faulty"  # its entry has to be corrected
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Condition:
    """How one subscriber is doing, since when, and what is to be known about it."""

    subscriber: str
    health: Health
    since: str | None = None  # ISO 8601
    last_error: str | None = None
    waiting: int = 0  # deliveries
    dead: int = 0  # dead letters about deliveries


def conditions(
    store: ObjectStore, subscribers: Subscribers, waiting: Iterable[Task], dead: Iterable[str]
) -> list[Condition]:
    """Return how every subscriber of the file is doing, by id; reads an object for each that is troubled.

    ``waiting`` and ``dead`` are the tasks and the names of dead letters that are counted.
    """
    keys = set(store.list(HEALTH))
    tasks = Counter(task.subscriber for task in waiting)
    letters = Counter(map(subscriber_of, dead))

    return [
        replace(_condition(store, each, keys), waiting=tasks[name], dead=letters[name])
        for name, each in sorted(subscribers.by_id.items())
    ]


def _condition(store: ObjectStore, each: Subscriber | Broken, keys: set[str]) -> Condition:
    if not each.enabled:
        return Condition(each.id, Health.DISABLED)
    if isinstance(each, Broken):
        return Condition(each.id, Health.FAULTY, None, each.reason)
    if (gone := gone_key(each.id, each.url)) in keys:
        found = _read(store, gone)
        return Condition(each.id, Health.GONE, found.get("at"), found.get("error") or "answered 410")
    found = _read(store, breaker_key(each.id)) if breaker_key(each.id) in keys else {}
    failures = found.get("failures", 0)
    health = Health.SPARED if failures >= TRIPS_AT else Health.FAILING if failures else Health.OK
    return Condition(each.id, health, found.get("since") or found.get("at"), found.get("error"))


def find(subscribers: Subscribers, subscriber_id: str) -> Subscriber:
    """Return a subscriber that can be served.

    Raises:
        ObjectNotFound: there is none of this id.
        BadInput: its entry has to be corrected.
    """
    found = subscribers.by_id.get(subscriber_id)
    if found is None:
        raise ObjectNotFound(f"there is no subscriber {subscriber_id[:64]!a} in SUBSCRIBERS_URL")
    if isinstance(found, Broken):
        raise BadInput(f"subscriber {found.id} has to be corrected in SUBSCRIBERS_URL: {found.reason}")
    return found


def send_test(sender: Sender, subscriber: Subscriber, now: float) -> Attempt:
    """Send a signed event that is about nothing, whatever the subscriber asked for, and return what came of it."""
    return sender.send(subscriber, f"msg_{uuid4().hex}", int(now), orjson.dumps(test_event(subscriber.id, now)))


def test_event(subscriber_id: str, now: float) -> dict[str, Any]:
    """Return the body of a test; ``now`` is in seconds since 1970."""
    data = {"subscriber": subscriber_id, "message": "A test of smarttag subscribers test; nothing happened."}
    return {"type": TEST_EVENT, "timestamp": iso(int(now * 1000)), "data": data}


def resume(store: ObjectStore, dead: DeadLetters, subscriber: Subscriber) -> list[str]:
    """Forget that a subscriber answered 410 and failed, and enqueue again what it missed because of the 410.

    That is what its dead letters say; such as were given up for another reason stay. The next sweep sends it, with the
    ids of old. Repeated after an interruption it does the rest.

    Returns:
        The names of the dead letters that were replayed.

    Raises:
        BadInput: the subscriber is disabled, so that all of it would be given up again, for that reason.
    """
    if not subscriber.enabled:
        raise BadInput(f"subscriber {subscriber.id} is disabled; enable it in SUBSCRIBERS_URL first")
    for key in list(store.list(f"{HEALTH}{subscriber.id}/")):
        store.delete(key)
    missed = [each for each in dead.read(Selection(subscriber=subscriber.id)) if _is_gone(each.facts)]
    done = dead.replay_all(missed, _no_message)
    if failed := [each.error for each in done if each.error is not None]:
        raise failed[0]
    return [each.name for each in done]


def _is_gone(letter: dict[str, Any]) -> bool:
    last = (letter.get("attempts") or [{}])[-1]
    return letter.get("state") == State.GONE.value or last.get("kind") == AttemptKind.GONE.value


def _no_message(_name: str, _raw: bytes) -> None:
    raise BadInput("a delivery's letter holds a message")


def _read(store: ObjectStore, key: str) -> dict[str, Any]:
    try:
        found = orjson.loads(store.get(key))
    except (ObjectNotFound, orjson.JSONDecodeError):  # it recovered meanwhile; or somebody else wrote it
        return {}
    return found if isinstance(found, dict) else {}
