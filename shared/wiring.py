"""Settings to objects: the only place that picks an adapter. SDKs are imported by the adapters, when first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared import logs
from shared.credentials import Credentials
from shared.errors import BadInput, BadSettings, ObjectNotFound, SubscribersBroken
from shared.publishing import Deferred, Outcome, Pipeline
from shared.settings import Location, Settings
from shared.triggers import Publish, Sweep, parse

if TYPE_CHECKING:
    from shared.invoker import Invoker
    from shared.smarttag.model import Summary
    from shared.storage import ObjectStore
    from shared.webhooks.address_guard import AddressGuard
    from shared.webhooks.announce import Deliveries
    from shared.webhooks.sender import Sender
    from shared.webhooks.subscribers import Subscribers

_SWEEP_SHARE = 0.9  # of the function's time limit; the rest is for finishing what was begun
_relays: dict[Settings, Relay] = {}
_lock = threading.Lock()


def relay(env: Mapping[str, str], context: object = None) -> Relay:
    """Return the relay for these settings: a new one at a cold start, the same one while the instance is warm.

    Raises:
        BadSettings: settings are missing or wrong; names every one.
    """
    settings = Settings.from_env(env)
    with _lock:
        found = _relays.get(settings) or _relays.setdefault(settings, Relay(settings))
    found.begin(env, context)
    return found


class Relay:
    """Everything wired for one set of settings, and the use cases that functions and command line call.

    Methods may be called from several threads at once. Each builds only what it needs.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._env: Mapping[str, str] = {}
        self._context: object = None

    def begin(self, env: Mapping[str, str], context: object) -> None:
        """Start an invocation: credentials and ``env:`` secrets are read from these from now on."""
        self._env, self._context = env, context

    def handle(self, event: bytes, *, request_id: str, seconds: float) -> tuple[Outcome, ...]:
        """Handle one trigger event within a function that may run for ``seconds``; see ``Pipeline.receive``."""
        return self.pipeline.receive(parse(event), request_id=request_id, deadline=seconds * _SWEEP_SHARE)

    def publish(self, job_id: str, *, redeliver: bool, request_id: str) -> dict[str, Any]:
        """Publish one job now; ``redeliver`` sends again what was delivered before."""
        return self.pipeline.publish(job_id, round=request_id if redeliver else "0").to_dict()

    def hand_off(self, job_id: str, *, redeliver: bool, request_id: str) -> bool:
        """Hand one publication to the event function; False where ``HANDOFF`` is inline."""
        target = self.settings.handoff
        if target is None:
            return False
        name = sha256(request_id.encode()).hexdigest()[:32]
        event = Publish(job_id, redeliver=redeliver, request_id=name).to_event()
        self.invoker.hand_off(target, event, f"publish-{job_id}-{name[:16]}")
        return True

    def owe(self, job_id: str, *, redeliver: bool, request_id: str) -> None:
        """Leave the publication to the next sweep."""
        self.outbox.owe_job(job_id, "", request_id if redeliver else "0", wait=0.0)

    def stored_summary(self, job_id: str) -> bytes:
        """Return summary.json; ``ObjectNotFound`` before the job was published."""
        return self.pipeline.stored(job_id, "summary.json")

    def stored(self, job_id: str, name: str) -> bytes:
        """Return one artifact; ``ObjectNotFound`` if the job left none of that name."""
        return self.pipeline.stored(job_id, name)

    def live(self, job_id: str) -> Summary:
        """Ask MPS now; nothing is stored."""
        return self.pipeline.live(job_id)

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """Return every subscriber's state, attempts and next try."""
        return self.outbox.state(job_id)

    def redeliver(self, job_id: str, subscriber_id: str, *, request_id: str) -> dict[str, Any]:
        """Send to one subscriber again, with the same id and body."""
        (told,) = self.outbox.redeliver(job_id, subscriber_id, request_id)
        return {"jobId": job_id, **told.to_dict()}

    def accept(self, message: bytes) -> list[dict[str, Any]]:
        """Handle a pushed notification as the event function would, or hand it to that: a topic waits five seconds.

        Why a job is dead stays in the log: whoever may notify need not know our buckets.

        Raises:
            BadInput: it holds a command or a timer's event: whoever may notify may not redeliver or sweep.
            RelayError: a message is to be sent again, and why.
        """
        messages = parse(message)
        if any(isinstance(each, Publish | Sweep) for each in messages):
            raise BadInput("a push holds a command or a timer's event; only notifications are taken in this way")
        target = self.settings.handoff
        if target is not None:
            # A new task each time: the same bytes may come again once what stood in their way is repaired.
            self.invoker.hand_off(target, message, f"notified-{uuid4().hex}")
            return [{"jobId": getattr(each, "job_id", ""), "outcome": "accepted"} for each in messages]
        try:
            outcomes = self.handle(message, request_id="push", seconds=60)
        except Deferred as error:
            raise error.first or error from error
        return [(replace(each, detail="") if each.outcome == "dead" else each).to_dict() for each in outcomes]

    @cached_property
    def pipeline(self) -> Pipeline:
        """The use case."""
        from shared.mps.client import MpsClient

        chosen = self.settings
        source = MpsClient(chosen.mps_endpoint, chosen.mps_region, self._credentials, chosen.max_result_bytes)
        return Pipeline(self.store, source, self.outbox)

    @cached_property
    def store(self) -> ObjectStore:
        """Where artifacts and the outbox lie."""
        return self._open(self.settings.output, "OUTPUT_URL")

    @cached_property
    def outbox(self) -> Deliveries:
        """What is owed to whom."""
        from shared.webhooks.announce import Deliveries

        url = _url(self.settings.output)
        if self.settings.subscribers is None:
            return Deliveries(self.store, url, None, None)
        return Deliveries(self.store, url, self._subscribers, self._sender)

    @cached_property
    def invoker(self) -> Invoker:
        """Function Compute, for asynchronous hand-off and ``fc://`` subscribers."""
        from shared.invoker import Invoker, endpoint

        account = str(getattr(self._context, "account_id", None) or self._env.get("FC_ACCOUNT_ID", ""))
        if not self.settings.invoke_endpoint and not account:
            raise BadSettings(
                "set INVOKE_ENDPOINT: outside Function Compute the account is unknown", settings=["INVOKE_ENDPOINT"]
            )
        where = self.settings.invoke_endpoint or endpoint(account, self.settings.oss_region)
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

    def _subscribers(self) -> Subscribers:
        from shared.webhooks.subscribers import parse as read

        where = self.settings.subscribers
        if where is None:
            raise BadSettings("SUBSCRIBERS_URL is not set", settings=["SUBSCRIBERS_URL"])
        folder, _, name = where.path.rpartition("/")
        try:
            body = self._open(Location(where.scheme, where.bucket, folder), "SUBSCRIBERS_URL").get(name)
        except ObjectNotFound as error:
            raise SubscribersBroken(
                f"SUBSCRIBERS_URL points to {_url(where)}, where nothing lies: put subscribers.json there",
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


def _url(where: Location) -> str:
    return f"{where.scheme}://{where.bucket}/{where.path.lstrip('/')}"
