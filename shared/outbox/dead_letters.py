"""What a person has to look at: deliveries given up, jobs that cannot be published, messages nobody understands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from shared.errors import BadInput, ObjectNotFound, RelayError
from shared.outbox.outbox import Outbox
from shared.outbox.partitions import side_by_side
from shared.outbox.records import SCHEMA_VERSION, check_version, iso
from shared.outbox.task import DEAD, FIRST, Task, TaskKind, parse_key, redelivery_id

_NOTIFICATION = "notification"  # the kind of a letter that is about no task
_ALWAYS = ("kind", "reason", "deadAt")  # in every letter
Told = Callable[[], object]  # called after each of many


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter by its name: what it says, or why it cannot be read, or could not be replayed."""

    name: str
    facts: dict[str, Any]
    error: RelayError | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant; what is empty does not matter, all that is not must hold.

    ``reason`` is a part of it in any case; ``since`` and ``until`` (not itself) are times in ISO 8601 and UTC as
    ``iso`` writes them.
    """

    subscriber: str = ""
    job_id: str = ""
    reason: str = ""
    since: str = ""
    until: str = ""

    def may_hold(self, name: str) -> bool:
        """Say whether the letter of this name can be meant, as far as a name tells."""
        return (not self.subscriber or subscriber_of(name) == self.subscriber) and (
            not self.job_id or _job_of(name) in {self.job_id, ""}
        )

    def holds(self, letter: Letter) -> bool:
        """Say whether a letter is meant; one that cannot be read is, if its name does not say otherwise."""
        if letter.error is not None:
            return True
        facts = letter.facts
        return (
            (not self.job_id or facts.get("jobId") == self.job_id)
            and self.reason.lower() in facts["reason"].lower()
            and self.since <= facts["deadAt"]
            and (not self.until or facts["deadAt"] < self.until)
        )


@dataclass(frozen=True)
class DeadLetters:
    """Shows and replays. The name of a dead letter is its key below ``dead/`` without the suffix.

    What is replayed is enqueued again, so a replay is as durable as a first delivery.
    """

    outbox: Outbox

    def keep_notification(self, raw: bytes, reason: str) -> None:
        """Keep a message as it came; keeping it again changes nothing."""
        digest = hashlib.sha256(raw).hexdigest()
        self.outbox.store.create(f"{DEAD}notifications/{digest}.raw", raw, "application/octet-stream")
        letter = {
            "version": SCHEMA_VERSION,
            "kind": _NOTIFICATION,
            "reason": reason,
            "bytes": len(raw),
            "deadAt": iso(self.outbox.now()),
        }
        self.outbox.create_json(f"{DEAD}notifications/{digest}.json", letter)

    def names(self) -> Iterator[str]:
        """Yield the names of all dead letters."""
        for key in self.outbox.store.list(DEAD):
            if key.endswith(".json"):
                yield key.removeprefix(DEAD).removesuffix(".json")

    def read(self, selection: Selection, names: Iterable[str] | None = None, told: Told = lambda: None) -> list[Letter]:
        """Return the selected letters, of all or of these names, in the order of their names, read side by side."""

        def read_one(name: str) -> Letter:
            try:
                letter = Letter(name, self.show(name))
            except RelayError as error:  # it must not hide the others
                letter = Letter(name, {}, error)
            told()
            return letter

        chosen = filter(selection.may_hold, self.names() if names is None else names)
        found = side_by_side([(name, name) for name in chosen], read_one, threads=self.outbox.threads)
        return sorted(filter(selection.holds, found), key=attrgetter("name"))

    def show(self, name: str) -> dict[str, Any]:
        """Return all that is known of one.

        Raises:
            ObjectNotFound: there is none of that name.
            BadInput: what lies there is no dead letter.
            NewerRecord: a newer version of this software wrote it, in a form of its own.
        """
        try:
            letter = self.outbox.read_json(f"{DEAD}{name}.json")
        except ValueError:  # not chained: that carries the whole object
            letter = {}
        if letter is None:
            raise ObjectNotFound(f"there is no dead letter {name[:200]!a}; smarttag dead list shows what there is")
        if not isinstance(letter, dict) or not all(isinstance(letter.get(each), str) for each in _ALWAYS):
            check_version(letter if isinstance(letter, dict) else {})
            raise BadInput(f"{DEAD}{name[:200]!a}.json is no dead letter; look at the object, and remove it")
        return letter

    def raw(self, name: str) -> bytes:
        """Return a poison message as it came."""
        return self.outbox.store.get(f"{DEAD}{name}.raw")

    def replay(self, name: str, notify: Callable[[bytes], None]) -> None:
        """Enqueue it again and remove the letter; if it fails again, that will be a letter of another name.

        A delivery is sent with its id and body of old, as a redelivery; the same letter always names the same one, so
        that nothing happens twice if this is interrupted and repeated. A job becomes its next publication. ``notify``
        handles a poison message anew, now that the software or the world has changed, or raises.

        Raises:
            ObjectNotFound: there is no such letter.
            NewerRecord: a newer version of this software wrote it.
            BadInput: it is none of ours.
        """
        self._replay(Letter(name, self.show(name)), notify)

    def replay_all(
        self, letters: Iterable[Letter], notify: Callable[[str, bytes], None], told: Told = lambda: None
    ) -> list[Letter]:
        """Replay letters side by side; one that fails keeps none of the others back. ``notify`` is given the name too.

        Returns:
            All of them in the order of their names, those that failed with their errors.
        """

        def replay_one(letter: Letter) -> Letter:
            try:
                self._replay(letter, partial(notify, letter.name))
            except RelayError as error:
                letter = Letter(letter.name, letter.facts, error)
            told()
            return letter

        done = side_by_side([(each.name, each) for each in letters], replay_one, threads=self.outbox.threads)
        return sorted(done, key=attrgetter("name"))

    def _replay(self, letter: Letter, notify: Callable[[bytes], None]) -> None:
        name, facts = letter.name, letter.facts
        if letter.error is not None:
            raise letter.error
        check_version(facts)
        suffixes = ["json"]
        if facts["kind"] == _NOTIFICATION:
            notify(self.raw(name))
            suffixes.append("raw")
        else:
            try:
                task = self._again(name, facts)
            except (KeyError, TypeError) as error:
                raise BadInput(f"the dead letter {name[:200]!a} does not say what is to be done again") from error
            if parse_key(task.key) != task:
                raise BadInput(f"the dead letter {name[:200]!a} is about nothing that can be done")
            self.outbox.enqueue(task)
        for suffix in suffixes:
            self.outbox.store.delete(f"{DEAD}{name}.{suffix}")

    def _again(self, name: str, letter: dict[str, Any]) -> Task:
        now, event = self.outbox.now(), letter.get("event", "")
        again = redelivery_id(f"{name} {letter['deadAt']}")
        if letter["kind"] == TaskKind.DELIVERY:
            return Task(TaskKind.DELIVERY, letter["jobId"], event, letter["subscriber"], again, now, now)
        if letter["kind"] == TaskKind.ERASE:
            return Task(TaskKind.ERASE, letter["jobId"], event, "", again, now, now)
        series = letter.get("series", FIRST)
        # "round" is what the version before called the series
        redelivered = str(letter.get("round", series)).startswith("r")
        return Task(
            TaskKind.PUBLISH, letter["jobId"], event, "", again if redelivered else next_series(series), now, now
        )


def subscriber_of(name: str) -> str:
    """Return to whom the delivery of a letter of this name was to go; nothing if it is about something else."""
    return name.split("~")[2] if name.startswith("deliveries/") and name.count("~") > 1 else ""


def _job_of(name: str) -> str:
    """Return the job that a letter of this name is about; nothing if the name does not say."""
    folder, _, rest = name.partition("/")
    return "" if folder == "notifications" else rest.partition("~")[0]


def is_later(series: str) -> bool:
    """Say whether this is a publication after another of the same job; a series of the version before has 16 digits."""
    return series.isdigit() and series != FIRST and len(series) < 16  # noqa: PLR2004 - said above


def next_series(series: str) -> str:
    """Return the series of the publication after this one."""
    return str(int(series) + 1) if is_later(series) else "2"
