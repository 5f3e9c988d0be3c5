"""Settings to objects: the only place that picks an adapter. SDKs are imported by the adapters, when first used."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shared import logs
from shared.credentials import Credentials
from shared.errors import BadSettings, ObjectNotFound, SubscribersBroken
from shared.links import Links
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.dead_letters import DeadLetters
from shared.outbox.outbox import Handler, Outbox
from shared.outbox.task import TaskKind
from shared.outbox.worker import Handlers, Worker
from shared.publishing.handler import PublishHandler
from shared.publishing.publisher import Publisher
from shared.publishing.turns import Turns
from shared.settings import Location, Settings
from shared.storage.retrying import RetryingStore

if TYPE_CHECKING:
    from shared.catalogue.catalogue import Catalogue
    from shared.catalogue.sealing import Sealing
    from shared.invoker import Invoker
    from shared.mps.client import MpsClient
    from shared.outbox.outcome import State
    from shared.outbox.records import Record
    from shared.outbox.task import Task
    from shared.publishing.erasure import EraseHandler
    from shared.storage import ObjectStore
    from shared.webhooks.address_guard import AddressGuard
    from shared.webhooks.announcer import Announcer
    from shared.webhooks.operator_events import OperatorEvents
    from shared.webhooks.sender import Sender
    from shared.webhooks.subscriber_cache import SubscriberCache
    from shared.webhooks.subscribers import Subscribers


class Wiring:
    """Everything that is made of one set of settings, each part when it is first asked for.

    ``mps_turn`` is called before each request to MPS, and returns once it may be made.
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

        return Catalogue(self.retrying)

    @cached_property
    def sealing(self) -> Sealing:
        """What gathers the rows of finished days."""
        from shared.catalogue.sealing import Sealing

        return Sealing(self.retrying, time.time)

    @cached_property
    def outbox(self) -> Outbox:
        """What is to be done."""
        queue = BucketQueue(self.retrying)
        return Outbox(self.retrying, queue, time.time, random.Random(), given_up=self._given_up)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What was given up."""
        return DeadLetters(self.outbox)

    def _handlers(self) -> Handlers:
        """Return the handler of each kind of task; without subscribers whatever is about them waits."""
        announcer = self.announcer()
        publishes = PublishHandler(
            *(self.store, self.source, announcer, self.query_seconds, self.settings.max_result_bytes),
            self.catalogue,
            self._turns,
        )
        handlers: dict[TaskKind, Handler] = {TaskKind.PUBLISH: publishes, TaskKind.ERASE: self.eraser}
        if announcer is None:
            return handlers
        from shared.webhooks.announcer import FanOutHandler
        from shared.webhooks.delivery_handler import DeliveryHandler
        from shared.webhooks.endpoint_health import EndpointHealth

        health = EndpointHealth(self.store, time.time)
        parts = (announcer.events, announcer.subscribers, health, self.sender, announcer.clock)
        delivers = DeliveryHandler(*parts, recovered=self._recovered)
        return handlers | {TaskKind.FAN_OUT: FanOutHandler(announcer), TaskKind.DELIVERY: delivers}

    @cached_property
    def eraser(self) -> EraseHandler:
        """What removes everything of a job."""
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

        return OperatorEvents(self.retrying, self._subscriber_cache, time.time)

    def announcer(self) -> Announcer | None:
        """Return what tells the subscribers; None if there is no list of them."""
        if self._subscriber_cache is None:
            return None
        from shared.webhooks.announcer import Announcer
        from shared.webhooks.stored_event import StoredEvents

        events, where, links = StoredEvents(self.retrying), url(self.settings.output), Links.of(self.settings)
        return Announcer(events, self._subscriber_cache, where, time.time, links)

    @cached_property
    def retrying(self) -> RetryingStore:
        """The store, asked again where it failed."""
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
    def sender(self) -> Sender:
        """What makes one request to a subscriber."""
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
