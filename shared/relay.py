"""What functions and command line do with everything that is wired: one method a use case."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared import logs
from shared.errors import BadInput, ObjectNotFound, RelayError
from shared.jobs import RESPONSE, artifact_key
from shared.outbox.records import iso
from shared.outbox.task import FIRST, redelivery_id
from shared.publishing import sweeps
from shared.publishing.handler import REBUILT, REFRESH
from shared.publishing.publisher import Deferred
from shared.publishing.reports import Report, Word
from shared.publishing.revisions import unannounced
from shared.settings import HandOff, Settings
from shared.triggers import Publish, Sweep, parse
from shared.wiring import Wiring

if TYPE_CHECKING:
    from shared.catalogue.filters import Filters
    from shared.catalogue.search import Page
    from shared.publishing.sweeps import LastSweep
    from shared.smarttag.model import Summary
    from shared.webhooks.operations import Condition
    from shared.webhooks.sender import Attempt
    from shared.webhooks.standing import Standing

_PUSH_SECONDS = 54.0  # a pushed notification is published within them, or left to the sweep
_SHARE = 0.9  # of the function's time limit; the rest is for ending what was begun
_relays: dict[Settings, Relay] = {}
_lock = threading.Lock()


def relay(env: Mapping[str, str], context: object = None) -> Relay:
    """Return the relay for these settings: a new one at a cold start, the same one while the instance is warm.

    Raises:
        BadSettings: settings are missing or wrong; names every one.
    """
    settings = Settings.from_env(env)
    with _lock:
        found = _relays.get(settings)
        if found is None:
            logs.set_up(settings.log_level)
            for doubt in settings.doubts:
                logs.log("settings.doubtful", level=logging.WARNING, message=doubt)
            found = _relays[settings] = Relay(settings)
    found.begin(env, context)
    return found


class Relay(Wiring):
    """The use cases. They may be called from several threads at once, and each builds only what it needs."""

    def handle(self, event: bytes, *, request_id: str, seconds: float) -> list[Report]:
        """Handle one trigger event within a function that may run for ``seconds``; see ``Publisher.receive``."""
        began, messages, seconds = time.monotonic(), parse(event), seconds * _SHARE
        reports = self.publisher.receive(messages, request_id=request_id, seconds=seconds)
        if any(isinstance(each, Sweep) for each in messages):
            self._seal(seconds - (time.monotonic() - began))
        return reports

    def _seal(self, seconds: float) -> None:
        """Seal what days have left of the catalogue; that this fails is no failure of the sweep."""
        try:
            if sealed := self.sealing.run(seconds):
                logs.log("catalogue.sealed", rows=sealed)
        except RelayError as error:
            logs.log_error("catalogue.seal.failed", error)

    def publish(self, job_id: str, *, redeliver: bool, refresh: bool, request_id: str) -> dict[str, Any]:
        """Publish one job now, or hand it to the next sweep or the event function; see ``Publisher.publish``."""
        target = self.settings.handoff
        if target is HandOff.INLINE:
            return self.publisher.publish(job_id, redeliver=redeliver, refresh=refresh, request_id=request_id)
        if target is HandOff.OUTBOX:
            self.enqueue(job_id, redeliver=redeliver, refresh=refresh, request_id=request_id)
        else:
            name = sha256(request_id.encode()).hexdigest()[:32]
            event = Publish(job_id, redeliver=redeliver, request_id=name, refresh=refresh).to_event()
            self.invoker.hand_off(target, event, f"publish-{job_id}-{name[:16]}")
        return {"jobId": job_id, "outcome": Word.ACCEPTED}

    def enqueue(self, job_id: str, *, redeliver: bool, request_id: str, refresh: bool = False) -> None:
        """Leave the publication to the next sweep."""
        series = redelivery_id(request_id) if redeliver else FIRST
        self.outbox.enqueue(self.publisher.task(job_id, series, REFRESH if refresh else ""))

    def announce_rebuilt(self, job_id: str) -> bool:
        """Leave it to the next sweep to tell of artifacts that were made anew; False if they were announced before."""
        task = unannounced(self.store, self.publisher.task(job_id, FIRST, REBUILT))
        if task is not None:
            self.outbox.enqueue(task)
        return task is not None

    def restore(self, job_id: str) -> None:
        """Let a job that was erased be published again."""
        from shared.publishing.erasure import restore

        restore(self.retrying, job_id)

    def erase(self, job_id: str, *, request_id: str) -> dict[str, Any]:
        """Remove everything of a job; ``ObjectNotFound`` if there is and was nothing. See ``Publisher.erase``."""
        if not self.eraser.knows(job_id):
            raise ObjectNotFound(f"nothing is known of job {job_id}", jobId=job_id)
        return self.publisher.erase(self.eraser.task(job_id, request_id))

    def stored(self, job_id: str, name: str) -> bytes:
        """Return one artifact; ``ObjectNotFound`` if the job left none of that name, ``JobErased`` if it was erased."""
        with self._unless_erased(job_id):
            return self.store.get(artifact_key(job_id, name))

    @contextmanager
    def _unless_erased(self, job_id: str) -> Iterator[None]:
        """Raise ``JobErased`` where nothing is found because the job was erased."""
        try:
            yield
        except ObjectNotFound:
            from shared.publishing.erasure import check_not_erased

            check_not_erased(self.store, job_id)
            raise

    def arrived(self, job_id: str) -> str | None:
        """Return when the answer of MPS was stored; None if none was."""
        found = self.store.head(artifact_key(job_id, RESPONSE))
        return None if found is None else iso(int((time.time() - found.age) * 1000))

    def live(self, job_id: str) -> Summary:
        """Ask MPS now; nothing is stored."""
        from shared.publishing.erasure import check_not_erased
        from shared.smarttag import summarise

        check_not_erased(self.store, job_id)
        return summarise(self.source.query(job_id, self.query_seconds), job_id)

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """Return every subscriber's state, attempts and next try; ``JobErased`` if the job was erased."""
        from shared.publishing.erasure import check_not_erased
        from shared.webhooks.history import deliveries_of

        found = deliveries_of(self.store, job_id)
        if not found:
            check_not_erased(self.store, job_id)
        return found

    def redeliver(self, job_id: str, subscriber_id: str, *, request_id: str) -> dict[str, Any]:
        """Send to one subscriber again, with the same id and body."""
        announcer = self.announcer()
        if announcer is None:
            raise ObjectNotFound("webhooks are off: set SUBSCRIBERS_URL", jobId=job_id)
        with self._unless_erased(job_id):
            task = announcer.redelivery(job_id, subscriber_id, request_id)
        return self.publisher.redeliver(task)

    def conditions(self) -> list[Condition]:
        """Return how every subscriber is doing."""
        from shared.webhooks import operations

        return operations.conditions(self.store, self.subscribers(), self.outbox.listed(), self.dead_letters.names())

    def standing(self) -> Standing:
        """Return how things stand, for an operator."""
        from shared.webhooks.standing import standing

        return standing(self.outbox, self.dead_letters, self.subscribers if self.settings.subscribers else None)

    def last_sweep(self) -> LastSweep | None:
        """Return the last sweep that did something."""
        return sweeps.last(self.store)

    def replay(self, name: str) -> None:
        """Enqueue what a dead letter is about again; see ``DeadLetters.replay``."""
        self.dead_letters.replay(name, partial(self.publisher.enqueue_event, name))

    def test_subscriber(self, subscriber_id: str) -> Attempt:
        """Send one subscriber a ``smarttag.test`` event now; nothing of it is kept."""
        from shared.webhooks import operations

        return operations.send_test(self.sender, operations.find(self.subscribers(), subscriber_id), time.time())

    def resume_subscriber(self, subscriber_id: str) -> list[str]:
        """Bring back a subscriber that a 410 switched off; see ``operations.resume``."""
        from shared.webhooks import operations

        return operations.resume(self.store, self.dead_letters, operations.find(self.subscribers(), subscriber_id))

    def accept(self, message: bytes) -> list[dict[str, Any]]:
        """Handle a pushed notification as the event function would, or hand it off: a topic waits five seconds.

        Why a job is not published stays in the log: whoever may notify need not know our buckets.

        Raises:
            BadInput: it holds a command or a timer's event: whoever may notify may not redeliver or sweep.
            RelayError: a message is to be sent again, and why.
        """
        messages = parse(message)
        if any(isinstance(each, Publish | Sweep) for each in messages):
            raise BadInput("a push holds a command or a timer's event; only notifications are taken in this way")
        target = self.settings.handoff
        if target is HandOff.OUTBOX:
            return self.publisher.enqueue(messages)
        if target is not HandOff.INLINE:
            # A new task each time: the same bytes may come again once what stood in their way is repaired.
            self.invoker.hand_off(target, message, f"notified-{uuid4().hex}")
            return [{"jobId": getattr(each, "job_id", ""), "outcome": Word.ACCEPTED} for each in messages]
        try:
            reports = self.publisher.receive(messages, request_id="push", seconds=_PUSH_SECONDS)
        except Deferred as error:
            raise error.first from error
        return [{name: report[name] for name in ("jobId", "outcome")} for report in reports]

    def jobs(self, filters: Filters, cursor: str, limit: int) -> Page:
        """Return published jobs, newest first; see ``Catalogue.search``."""
        return self.catalogue.search(filters, cursor, limit)
