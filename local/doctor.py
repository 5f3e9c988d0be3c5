"""Looks at a bundle by doing what the functions do, with the credentials at hand, and says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Any
from uuid import uuid4

import orjson

from local.preflight import Finding, Verdict
from shared.credentials import Credentials
from shared.errors import AccessRefused, BadInput, BadSettings, JobNotFound, RelayError, SubscribersBroken, Unavailable
from shared.outbox.records import iso
from shared.refusals import Subject
from shared.relay import Relay
from shared.storage import ObjectStore
from shared.wiring import url

_NO_JOB = "0" * 32  # well-formed, and nobody's
_SECONDS = 15.0  # for one question to MPS
_SKEW = 900.0  # seconds that MPS and OSS tolerate
_PAGE = 100  # pipelines in one answer
_OVERDUE = 300.0  # seconds; a sweep comes every minute
_PATIENCE = 10.0  # seconds for an address to answer

Check = Callable[[Relay, str], Iterator[Finding]]


def examine(relay: Relay, env: Mapping[str, str]) -> Iterator[Finding]:
    """Look at one thing after the other; a fault in one hides none of the others.

    Args:
        relay: made of the settings, and begun.
        env: where credentials are, and ``MNS_TOPIC``, which MPS is to notify.
    """
    try:
        key = Credentials.from_env_or_context(env)
    except BadSettings as error:
        yield Finding("credentials", Verdict.FAULT, error.message)
        return
    kind = "temporary, of a role" if key.security_token else "a long-lived key"
    yield Finding(
        "credentials", Verdict.OK, f"{kind}; the functions have their own role's: smarttag invoke tries those"
    )
    for about, check in _CHECKS.items():
        try:
            yield from check(relay, env.get("MNS_TOPIC") or "smarttag")
        except RelayError as error:
            yield Finding(about, Verdict.FAULT, error.message)


def _clock(relay: Relay, _topic: str) -> Iterator[Finding]:
    answered = _headers(relay.settings.mps_endpoint)
    try:
        there = parsedate_to_datetime(answered.get("Date", "")).astimezone(timezone.utc).timestamp()
    except ValueError:
        raise Unavailable(f"{relay.settings.mps_endpoint} does not say what time it is; check MPS_ENDPOINT") from None
    off = time.time() - there
    if abs(off) < _SKEW / 3:
        yield Finding("clock", Verdict.OK, "right")
        return
    which = "ahead of" if off > 0 else "behind"
    yield Finding(
        "clock",
        Verdict.FAULT if abs(off) > _SKEW * 0.9 else Verdict.NOTE,
        f"this machine's is {abs(off) / 60:.0f} minutes {which} the cloud's, which refuses what is 15 minutes off: "
        "set it (sudo timedatectl set-ntp true)",
    )


def _mps(relay: Relay, _topic: str) -> Iterator[Finding]:
    where = f"{relay.settings.mps_endpoint} ({relay.settings.mps_region})"
    try:
        relay.source.query(_NO_JOB, _SECONDS)
    except JobNotFound:
        yield Finding("mps", Verdict.OK, f"{where} lets these credentials query jobs")


def _topic(relay: Relay, topic: str) -> Iterator[Finding]:
    region = relay.settings.mps_region
    try:
        pipelines = list(_pipelines(relay))
    except AccessRefused:
        text = (
            f"these credentials may not list pipelines (mts:SearchPipeline): see in the console that one of {region} "
        )
        yield Finding("topic", Verdict.NOTE, f"{text}notifies the topic {topic}")
        return
    bound = [each for each in pipelines if (each.get("NotifyConfig") or {}).get("Topic") == topic]
    if not bound:
        others = ", ".join(f"{each.get('Name')} ({each.get('Id')})" for each in pipelines[:5]) or "none at all"
        text = f"no pipeline of {region} notifies the topic {topic}: bind one (docs/deploy.md), or set MNS_TOPIC"
        yield Finding("topic", Verdict.FAULT, f"{text}; there are: {others}")
    for each in bound:
        name = f"pipeline {each.get('Name')} ({each.get('Id')})"
        if each.get("State") != "Active":
            yield Finding("topic", Verdict.FAULT, f"{name} is {each.get('State')}: its jobs fail until it is Active")
        else:
            yield Finding("topic", Verdict.OK, f"{name} notifies the topic {topic}")


def _pipelines(relay: Relay) -> Iterator[dict[str, Any]]:
    for page in range(1, 100):
        parameters = {"PageNumber": str(page), "PageSize": str(_PAGE)}
        body = relay.source.ask("SearchPipeline", parameters, Subject("the pipelines", {}), _SECONDS)
        found = ((orjson.loads(body).get("PipelineList") or {}).get("Pipeline")) or []
        yield from found
        if len(found) < _PAGE:
            return


def _bucket(relay: Relay, _topic: str) -> Iterator[Finding]:
    where = url(relay.settings.output)
    if relay.settings.output.scheme == "oss":
        where += f" over {relay.settings.oss_endpoint}"
    faults = list(_try(relay.store))
    yield from (Finding("bucket", Verdict.FAULT, text) for text in faults)
    if not faults:
        yield Finding("bucket", Verdict.OK, f"{where}: creates once, reads, lists, deletes")
        if next(relay.store.list("jobs/"), None) is None:
            yield Finding("bucket", Verdict.NOTE, f"{where}: no job was ever published there")


def _try(store: ObjectStore) -> Iterator[str]:
    """Do with an object of our own all that the functions do; yield what cannot be done, and why."""
    key = f"doctor/{uuid4().hex}"
    steps: dict[str, Callable[[], object]] = {
        "create": lambda: store.create(key, b"1"),
        "replace": lambda: store.put(key, b"1"),
        "read": lambda: store.get(key),
        "create only once": lambda: _refuse(store, key),
        "list": lambda: list(store.list("doctor/")),
        "delete": lambda: store.delete(key),
    }
    for what, step in steps.items():
        try:
            step()
        except RelayError as error:
            yield f"cannot {what}: {error.message}"
            if not isinstance(error, AccessRefused):  # which is about this one right; others are about the bucket
                return


def _refuse(store: ObjectStore, key: str) -> None:
    if store.create(key, b"2"):
        raise BadInput("the bucket replaced an object that was to be created only if there was none: take a new bucket")


def _subscribers(relay: Relay, _topic: str) -> Iterator[Finding]:
    where = relay.settings.subscribers
    if where is None:
        yield Finding("subscribers", Verdict.NOTE, "SUBSCRIBERS_URL is not set: nobody is told")
        return
    found = relay.subscribers()
    for each in found.broken:
        yield Finding("subscribers", Verdict.FAULT, f"{each.id}: {each.reason}")
    if not found.by_id:
        yield Finding("subscribers", Verdict.NOTE, f"{url(where)} names none: nobody is told")
    elif not found.broken:
        yield Finding("subscribers", Verdict.OK, f"{url(where)}: {len(found.good)} in order")


def _outbox(relay: Relay, _topic: str) -> Iterator[Finding]:
    where, troubled = url(relay.settings.output), _troubled(relay)
    tasks = sorted(relay.outbox.listed(), key=attrgetter("due"))
    since = relay.outbox.now() - int(_OVERDUE * 1000)
    # What is for a subscriber that is out or off is left alone on purpose.
    overdue = [task for task in tasks if task.due < since and task.subscriber not in troubled]
    if overdue:
        yield Finding(
            "outbox",
            Verdict.FAULT,
            f"{len(overdue)} of {len(tasks)} tasks at {where} are due since {iso(overdue[0].due)} and not begun (the "
            f"oldest: {overdue[0].kind.value} of job {overdue[0].job_id}): is smarttag-callback deployed, its trigger "
            "sweep enabled? Its log says outbox.swept every minute",
        )
    else:
        rest = "" if tasks else "; so whether the timer works cannot be seen here"
        yield Finding("outbox", Verdict.OK, f"{len(tasks)} tasks wait at {where}, none is overdue{rest}")
    dead = sum(1 for _ in relay.dead_letters.names())
    if dead:
        yield Finding("dead letters", Verdict.NOTE, f"{dead} at {where}: smarttag dead list says why")


def _troubled(relay: Relay) -> set[str]:
    from shared.webhooks.operations import Health

    if relay.settings.subscribers is None:
        return set()
    try:
        return {each.subscriber for each in relay.conditions() if each.health is not Health.OK}
    except SubscribersBroken:  # said elsewhere
        return set()


def _links(relay: Relay, _topic: str) -> Iterator[Finding]:
    public = relay.settings.public_url
    if not public:
        return
    if not relay.settings.link_keys:
        yield Finding("links", Verdict.FAULT, "PUBLIC_URL is set and LINK_KEYS is not: no link can be signed")
    status = _headers(f"{public}/healthz").get(":status")
    if status == "200":
        yield Finding("links", Verdict.OK, f"{public} reaches the HTTP function")
    else:
        text = f"{public}/healthz answers {status}: bind the domain to smarttag-api with the route /* (docs/deploy.md)"
        yield Finding("links", Verdict.FAULT, text)


def _headers(address: str) -> dict[str, str]:
    """Return the headers with which an address answers whoever asks, and the status."""
    import certifi
    import urllib3

    try:
        with urllib3.PoolManager(ca_certs=certifi.where()) as pool:
            found = pool.request("GET", address, retries=False, redirect=False, timeout=_PATIENCE)
            return {**found.headers, ":status": str(found.status)}
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(
            f"{address} cannot be reached ({type(error).__name__}): check the address, and this machine's network"
        ) from None


_CHECKS: dict[str, Check] = {
    "clock": _clock,
    "mps": _mps,
    "topic": _topic,
    "bucket": _bucket,
    "subscribers": _subscribers,
    "outbox": _outbox,
    "links": _links,
}
