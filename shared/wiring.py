"""Settings to objects: the only place that picks an adapter. SDKs are imported by the adapters, when first used."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared import logs
from shared.credentials import Credentials
from shared.errors import BadInput, BadSettings, ObjectNotFound, RelayError, SubscribersBroken
from shared.jobs import RESPONSE, artifact_key
from shared.links import Links
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.dead_letters import DeadLetters
from shared.outbox.outbox import Handler, Outbox
from shared.outbox.records import iso
from shared.outbox.task import FIRST, TaskKind, redelivery_id
from shared.outbox.worker import Handlers, Worker
from shared.publishing import sweeps
from shared.publishing.handler import REBUILT, REFRESH, PublishHandler
from shared.publishing.publisher import Deferred, Publisher
from shared.publishing.reports import Report, Word
from shared.publishing.revisions import unannounced
from shared.publishing.turns import Turns
from shared.settings import HandOff, Location, Settings
from shared.storage.retrying import RetryingStore
from shared.triggers import Publish, Sweep, parse

if TYPE_CHECKING:
    from shared.catalogue.catalogue import Catalogue
    from shared.catalogue.filters import Filters
    from shared.catalogue.sealing import Sealing
    from shared.catalogue.search import Page
    from shared.invoker import Invoker
    from shared.mps.client import MpsClient
    from shared.outbox.outcome import State
    from shared.outbox.records import Record
    from shared.outbox.task import Task
    from shared.publishing.erasure import EraseHandler
    from shared.publishing.sweeps import LastSweep
    from shared.smarttag.model import Summary
    from shared.storage import ObjectStore
    from shared.webhooks.address_guard import AddressGuard
    from shared.webhooks.announcer import Announcer
    from shared.webhooks.operations import Condition
    from shared.webhooks.operator_events import OperatorEvents
    from shared.webhooks.sender import Attempt, Sender
    from shared.webhooks.standing import Standing
    from shared.webhooks.subscriber_cache import SubscriberCache
    from shared.webhooks.subscribers import Subscribers

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


class Relay:
    """Everything wired for one set of settings, and the use cases that functions and command line call.

    Methods may be called from several threads at once. Each builds only what it needs. ``mps_turn`` is called before
    each request to MPS, and returns once it may be made.
    """

    query_seconds = 40.0  # for one QuerySmarttagJob with its retries; the service itself answers within one

    def __init__(
        self, settings: Settings, mps_turn: Callable[[], object] = lambda: None, turns: Turns | None = None
    ) -> None:
        self.settings = settings
        self._mps_turn = mps_turn
        self._env: Mapping[str, str] = {}
        self._context: object = None
        self._turns = turns or Turns()

    def begin(self, env: Mapping[str, str], context: object) -> None:
        """Start an invocation: credentials and ``env:`` secrets are read from these from now on."""
        self._env, self._context = env, context

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
            if sealed := self._sealing.run(seconds):
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

        restore(self._retrying, job_id)

    def erase(self, job_id: str, *, request_id: str) -> dict[str, Any]:
        """Remove everything of a job; ``ObjectNotFound`` if there is and was nothing. See ``Publisher.erase``."""
        if not self._eraser.knows(job_id):
            raise ObjectNotFound(f"nothing is known of job {job_id}", jobId=job_id)
        return self.publisher.erase(self._eraser.task(job_id, request_id))

    def stored(self, job_id: str, name: str) -> bytes:
        """Return one artifact; ``ObjectNotFound`` if the job left none of that name."""
        return self.store.get(artifact_key(job_id, name))

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
        """Return every subscriber's state, attempts and next try."""
        from shared.webhooks.history import deliveries_of

        return deliveries_of(self.store, job_id)

    def redeliver(self, job_id: str, subscriber_id: str, *, request_id: str) -> dict[str, Any]:
        """Send to one subscriber again, with the same id and body."""
        announcer = self._announcer()
        if announcer is None:
            raise ObjectNotFound("webhooks are off: set SUBSCRIBERS_URL", jobId=job_id)
        return self.publisher.redeliver(announcer.redelivery(job_id, subscriber_id, request_id))

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

        return operations.send_test(self._sender, operations.find(self.subscribers(), subscriber_id), time.time())

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

    @cached_property
    def publisher(self) -> Publisher:
        """The use case."""
        worker = Worker(self.outbox, self._handlers)
        return Publisher(worker, self.dead_letters, time.time)

    @cached_property
    def store(self) -> ObjectStore:
        """Where artifacts and the outbox lie."""
        return self._open(self.settings.output, "OUTPUT_URL")

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every published job as a row."""
        from shared.catalogue.catalogue import Catalogue

        return Catalogue(self._retrying)

    @cached_property
    def _sealing(self) -> Sealing:
        from shared.catalogue.sealing import Sealing

        return Sealing(self._retrying, time.time)

    def jobs(self, filters: Filters, cursor: str, limit: int) -> Page:
        """Return published jobs, newest first; see ``Catalogue.search``."""
        return self.catalogue.search(filters, cursor, limit)

    @cached_property
    def outbox(self) -> Outbox:
        """What is to be done."""
        queue = BucketQueue(self._retrying)
        return Outbox(self._retrying, queue, time.time, random.Random(), given_up=self._given_up)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What was given up."""
        return DeadLetters(self.outbox)

    def _handlers(self) -> Handlers:
        """Return the handler of each kind of task; without subscribers whatever is about them waits."""
        announcer = self._announcer()
        publishes = PublishHandler(
            *(self.store, self.source, announcer, self.query_seconds, self.settings.max_result_bytes),
            self.catalogue,
            self._turns,
        )
        handlers: dict[TaskKind, Handler] = {TaskKind.PUBLISH: publishes, TaskKind.ERASE: self._eraser}
        if announcer is None:
            return handlers
        from shared.webhooks.announcer import FanOutHandler
        from shared.webhooks.delivery_handler import DeliveryHandler
        from shared.webhooks.endpoint_health import EndpointHealth

        health = EndpointHealth(self.store, time.time)
        parts = (announcer.events, announcer.subscribers, health, self._sender, announcer.clock)
        delivers = DeliveryHandler(*parts, recovered=self._recovered)
        return handlers | {TaskKind.FAN_OUT: FanOutHandler(announcer), TaskKind.DELIVERY: delivers}

    @cached_property
    def _eraser(self) -> EraseHandler:
        from shared.publishing.erasure import EraseHandler

        return EraseHandler(self.outbox, self.catalogue, PublishHandler.lease)

    def _given_up(self, task: Task, state: State, record: Record) -> Iterable[Task]:
        operators = self._operators()
        return () if operators is None else operators.given_up(task, state, record)

    def _recovered(self, subscriber: str, since: str) -> None:
        operators = self._operators()
        self.outbox.enqueue_all(() if operators is None else operators.recovered(subscriber, since))

    def _operators(self) -> OperatorEvents | None:
        if self._subscriber_cache is None:
            return None
        from shared.webhooks.operator_events import OperatorEvents

        return OperatorEvents(self._retrying, self._subscriber_cache, time.time)

    def _announcer(self) -> Announcer | None:
        if self._subscriber_cache is None:
            return None
        from shared.webhooks.announcer import Announcer
        from shared.webhooks.stored_event import StoredEvents

        events, where, links = StoredEvents(self._retrying), url(self.settings.output), Links.of(self.settings)
        return Announcer(events, self._subscriber_cache, where, time.time, links)

    @cached_property
    def _retrying(self) -> RetryingStore:
        return RetryingStore(self.store)

    @cached_property
    def source(self) -> MpsClient:
        """Where responses come from."""
        from shared.mps.client import MpsClient

        chosen = self.settings
        return MpsClient(
            *(chosen.mps_endpoint, chosen.mps_region, self._credentials, chosen.max_result_bytes), turn=self._mps_turn
        )

    @cached_property
    def _subscriber_cache(self) -> SubscriberCache | None:
        from shared.webhooks.subscriber_cache import SubscriberCache

        return None if self.settings.subscribers is None else SubscriberCache(self.subscribers, time.time)

    @cached_property
    def invoker(self) -> Invoker:
        """Function Compute, for asynchronous hand-off and ``fc://`` subscribers."""
        from shared.invoker import Invoker, endpoint

        account = str(getattr(self._context, "account_id", None) or self._env.get("FC_ACCOUNT_ID", ""))
        if not self.settings.invoke_endpoint and not account:
            raise BadSettings(
                "set INVOKE_ENDPOINT: outside Function Compute the account is unknown", settings=["INVOKE_ENDPOINT"]
            )
        where = self.settings.invoke_endpoint or endpoint(account, self.settings.fc_region)
        return Invoker(where, self._credentials)

    @cached_property
    def _guard(self) -> AddressGuard:
        from shared.webhooks.address_guard import AddressGuard

        return AddressGuard(self.settings.webhook_allow, self.settings.webhook_deny)

    @cached_property
    def _sender(self) -> Sender:
        from shared.webhooks.sender import Sender

        return Sender(self._guard, self._call)

    def _call(self, service: str, qualifier: str | None, function: str, payload: bytes, timeout: float) -> bytes:
        return self.invoker.call(service, qualifier, function, payload, timeout)

    def subscribers(self) -> Subscribers:
        """Read subscribers.json now.

        Raises:
            SubscribersBroken: nothing of it can be read.
        """
        from shared.webhooks.subscribers import parse as read

        where = self.settings.subscribers
        if where is None:
            raise BadSettings("SUBSCRIBERS_URL is not set", settings=["SUBSCRIBERS_URL"])
        folder, _, name = where.path.rpartition("/")
        try:
            body = self._open(Location(where.scheme, where.bucket, folder), "SUBSCRIBERS_URL").get(name)
        except ObjectNotFound as error:
            raise SubscribersBroken(
                f"SUBSCRIBERS_URL points to {url(where)}, where nothing lies: put subscribers.json there",
                setting="SUBSCRIBERS_URL",
            ) from error
        found = read(body, self._env, self._guard.target)
        for subscriber in found.good:
            logs.protect(*subscriber.secrets, *subscriber.headers.values())
        return found

    def _open(self, where: Location, setting: str) -> ObjectStore:
        if where.scheme == "file":
            from shared.storage.directory import DirectoryStore

            return DirectoryStore(Path(where.path or "/"), setting)
        from shared.storage.oss import OssStore

        chosen = self.settings
        return OssStore(
            where.bucket, where.path, chosen.oss_region, chosen.oss_endpoint, self._credentials, setting=setting
        )

    def _credentials(self) -> Credentials:
        found = Credentials.from_env_or_context(self._env, self._context)
        logs.protect(found.access_key_secret, found.security_token)
        return found


def url(where: Location) -> str:
    """Return a location as the settings spell it."""
    return f"{where.scheme}://{where.bucket}/{where.path.lstrip('/')}"
