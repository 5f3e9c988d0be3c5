"""subscribers.json: who wants to be told what, and how.

One faulty subscriber is reported by id and costs the others nothing. No reason names a secret, a header's value
or more of a URL than its host.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import orjson

from shared.errors import BadInput, PermanentError, SubscribersBroken
from shared.patterns import regex
from shared.webhooks import expressions
from shared.webhooks.signing import check_secret

EVENT_TYPES = (
    *(f"smarttag.job.{state}" for state in ("succeeded", "failed", "processing", "submitted")),
    *("smarttag.delivery.exhausted", "smarttag.endpoint.gone", "smarttag.endpoint.recovered"),
    "smarttag.publication.dead",
)
FUNCTION_URL = regex(
    r"fc://(?P<service>[A-Za-z_][A-Za-z0-9_-]{0,127})(?:\.(?P<qualifier>[A-Za-z0-9_-]+))?/(?P<function>[A-Za-z_][A-Za-z0-9_-]{0,63})"
)

_ID = regex(r"[A-Za-z0-9_-]{1,64}")
_PREFIX = "SUBSCRIBER_"
_ENV = regex(r"env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
# The credentials and settings of the functions.
SETTING = regex(
    r"(?:ALIBABA_CLOUD|FC|MPS|OSS|API|WEBHOOK|LINK)_[A-Z0-9_]+|(?:OUTPUT|SUBSCRIBERS|PUBLIC|MEDIA)_URL"
    r"|HANDOFF|HTTP_TRIGGER_AUTH|INVOKE_ENDPOINT|MAX_RESULT_BYTES|LOG_LEVEL"
)
_SHORTEST_SETTING = 8  # characters; shorter values are words such as "token" or "INFO"
_PATTERN = regex(r"[A-Za-z0-9_.*]{1,64}")
_HEADER_NAME = regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_HEADER_VALUE = regex(r"[\x20-\x7e]{0,4096}")
# Ours to set, or about the connection and not about the message.
_RESERVED = regex(
    r"webhook-.*|host|content-length|content-type|content-encoding|transfer-encoding|connection|te|trailer|upgrade"
    r"|expect|keep-alive|proxy-.*|user-agent|accept-encoding",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One receiver, checked. ``secrets`` and ``headers`` are resolved, so its repr shows neither, nor the URL."""

    id: str
    url: str = field(repr=False)  # may hold a token in its path
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...] = ("smarttag.job.*",)
    when: str | None = None
    select: str | None = None
    payload: str = "thin"  # thin | full
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    enabled: bool = True

    def wants(self, event_type: str) -> bool:
        """Say whether the subscriber is enabled and one of its patterns matches the event type."""
        return self.enabled and any(fnmatchcase(event_type, pattern) for pattern in self.events)

    def matches(self, summary: dict[str, Any]) -> bool:
        """Say whether ``when`` holds for the summary, by JMESPath's own notion of truth (0 is true, [] is not).

        Raises:
            BadInput: ``when`` cannot be evaluated over this summary.
        """
        if self.when is None:
            return True
        found = self._search("when", self.when, summary)
        return found is not None and found is not False and not (isinstance(found, (str, list, dict)) and not found)

    def selected(self, summary: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the expression picks
        """Return what ``select`` picks out of the summary; the whole summary if there is no ``select``.

        Raises:
            BadInput: ``select`` cannot be evaluated over this summary.
        """
        return summary if self.select is None else self._search("select", self.select, summary)

    def _search(self, name: str, expression: str, summary: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        try:
            return expressions.evaluate(expression, summary, written=name == "select")
        except BadInput as error:
            raise BadInput(
                f"subscriber {self.id}: {name} cannot be evaluated: {error.message}; correct it in SUBSCRIBERS_URL",
                subscriber=self.id,
            ) from error


@dataclass(frozen=True, slots=True)
class Broken:
    """A subscriber that cannot be served until a person corrects it.

    ``id`` is its own where that is well-formed, else ``#`` and its position in the list, counted from 1.
    """

    id: str
    reason: str
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The whole file."""

    good: tuple[Subscriber, ...]
    broken: tuple[Broken, ...]

    def wanting(self, event_type: str) -> list[Subscriber]:
        """Return those that want to be told of an event."""
        return [each for each in self.good if each.wants(event_type)]

    @property
    def by_id(self) -> dict[str, Subscriber | Broken]:
        """All of them."""
        return {**{each.id: each for each in self.broken}, **{each.id: each for each in self.good}}


def parse(body: bytes, env: Mapping[str, str], check_url: Callable[[str], object]) -> Subscribers:
    """Read subscribers.json.

    Args:
        body: the file.
        env: where ``env:SUBSCRIBER_...`` secrets and header values are looked up; no value of another variable of it,
            credentials and settings, is ever taken over.
        check_url: raises a ``PermanentError`` for an http(s) URL that must not be dialled: ``AddressGuard.target``.

    Raises:
        SubscribersBroken: the file as a whole cannot be read.
    """
    try:
        document = orjson.loads(body.removeprefix(BOM_UTF8))  # editors of Windows write one
    except orjson.JSONDecodeError as error:
        # Not chained: the cause carries the whole file, secrets included.
        raise SubscribersBroken(f"SUBSCRIBERS_URL holds no valid JSON ({error}); correct the file") from None
    if not isinstance(document, dict) or document.get("version") != 1 or document["version"] is True:
        raise SubscribersBroken('SUBSCRIBERS_URL does not say {"version": 1, ...}; correct the file')
    entries = document.get("subscribers")
    if not isinstance(entries, list):
        raise SubscribersBroken('SUBSCRIBERS_URL has no list of "subscribers"; correct the file')

    readable = _Environment(env)
    names = [entry["id"] if _has_id(entry) else f"#{position}" for position, entry in enumerate(entries, 1)]
    times = Counter(names)
    good: list[Subscriber] = []
    broken = [
        Broken(name, f"{times[name]} subscribers have this id; give each its own") for name in times if times[name] > 1
    ]
    for name, entry in zip(names, entries, strict=True):
        if times[name] > 1:
            continue
        faults = list(_faults(entry, readable, check_url)) if isinstance(entry, dict) else ["must be a JSON object"]
        if faults:
            disabled = isinstance(entry, dict) and entry.get("enabled") is False
            broken.append(Broken(name, "; ".join(faults), enabled=not disabled))
        else:
            good.append(_subscriber(entry, readable))
    return Subscribers(tuple(good), tuple(broken))


class _Environment:
    """What ``env:`` may read: variables named ``SUBSCRIBER_...``, and no other.

    The environment also holds the role's key and the settings, and whoever is told may not be told these.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._values = {name: value.strip() for name, value in env.items() if name.startswith(_PREFIX)}
        held = ((name, value.strip()) for name, value in env.items() if SETTING.fullmatch(name))
        self._settings = {name: value for name, value in held if len(value) >= _SHORTEST_SETTING}

    def resolve(self, text: str) -> str:
        """Return the text, or what the variable holds where it says ``env:SUBSCRIBER_...``: nothing if unset."""
        match = _ENV.fullmatch(text)
        return self._values.get(match["name"], "") if match else text

    def faults(self, text: str) -> list[str]:
        """Return what is wrong with a text as far as the environment is concerned."""
        match = _ENV.fullmatch(text)
        if match is None and (text.startswith("env:") or f"env:{_PREFIX}" in text):
            alone = f"alone, and followed by the name of a variable, such as {_PREFIX}CMS_SECRET"
            return [f"env: must stand {alone}; a word beside it, such as Bearer, goes into the variable"]
        value = self.resolve(text)
        if match and not match["name"].startswith(_PREFIX):
            new = _PREFIX + match["name"]
            return [f"{text} is not read, only names beginning with {_PREFIX} are: set {new} and write env:{new}"]
        if match and not value:
            return [f"environment variable {match['name']} is not set"]
        for name, held in self._settings.items():
            credential = name.startswith("ALIBABA_CLOUD_") and held in value
            if credential or (match and held == value):  # a text of the file itself may well read like some setting
                return [f"it gives away the value of {name}, which no subscriber may get; give it one of its own"]
        return []


def _subscriber(entry: dict[str, Any], env: _Environment) -> Subscriber:
    """Take over an entry without faults."""
    taken = dict(entry)
    taken["secrets"] = tuple(env.resolve(text) for text in entry["secrets"])
    taken["headers"] = {name: env.resolve(text) for name, text in entry.get("headers", {}).items()}
    if "events" in entry:
        taken["events"] = tuple(entry["events"])
    return Subscriber(**taken)


def _faults(entry: dict[str, Any], env: _Environment, check_url: Callable[[str], object]) -> Iterator[str]:
    """Yield all that a person has to correct, so that it can be corrected at once."""
    unknown = sorted(entry.keys() - Subscriber.__slots__)
    if unknown:
        yield f"unknown fields {', '.join(ascii(name[:40]) for name in unknown)}"
    if not _has_id(entry):
        yield "id must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"
    given = {"secrets": None, "events": ["*"], "payload": "thin", "headers": {}, "enabled": True, **entry}
    yield from _url_faults(given.get("url"), check_url)
    for name in ("secrets", "events"):
        if not _texts(given[name]):
            yield f"{name} must be a list of at least one text"
    yield from _secrets_faults(_texts(given["secrets"]), env)
    yield from _events_faults(_texts(given["events"]))
    for name in ("when", "select"):
        if given.get(name) is not None:
            yield from _expression_faults(name, given[name])
    if given["payload"] not in ("thin", "full"):
        yield "payload must be thin or full"
    yield from _headers_faults(given["headers"], env)
    if not isinstance(given["enabled"], bool):
        yield "enabled must be true or false"


def _has_id(entry: object) -> bool:
    name = entry.get("id") if isinstance(entry, dict) else None
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def _url_faults(url: object, check_url: Callable[[str], object]) -> Iterator[str]:
    if not isinstance(url, str) or not url:
        yield "url must be given, as text"
    elif url.startswith("fc:"):
        if not FUNCTION_URL.fullmatch(url):
            yield "url must have the form fc://service.qualifier/function, a function of FC 2.0"
    else:
        yield from _refusal(check_url, url)


def _secrets_faults(secrets: list[str], env: _Environment) -> Iterator[str]:
    for position, text in enumerate(secrets, 1):
        for fault in env.faults(text) or _refusal(check_secret, env.resolve(text)):
            yield f"secret {position}: {fault}"


def _events_faults(patterns: list[str]) -> Iterator[str]:
    for pattern in patterns:
        # A pattern that matches nothing is a slip of the pen that would silence the subscriber for ever.
        if not _PATTERN.fullmatch(pattern) or not any(fnmatchcase(known, pattern) for known in EVENT_TYPES):
            yield f"event pattern {pattern[:64]!a} matches none of {', '.join(EVENT_TYPES)}"


def _headers_faults(headers: object, env: _Environment) -> Iterator[str]:
    if not isinstance(headers, dict):
        yield "headers must be an object of names and texts"
        return
    for name, text in headers.items():
        shown = f"header {name[:64]!a}"
        if not _HEADER_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
            yield f"{shown} is not a header name, or one that is not yours to set"
        elif not isinstance(text, str) or not _HEADER_VALUE.fullmatch(env.resolve(text)):
            yield f"{shown} must have a value of one line of printable ASCII"
        else:
            yield from (f"{shown}: {fault}" for fault in env.faults(text))
    if len({name.lower() for name in headers}) < len(headers):
        yield "headers names one header twice"


def _expression_faults(name: str, expression: object) -> Iterator[str]:
    found: str | None = "must be a JMESPath expression"
    if isinstance(expression, str):
        found = expressions.fault(expression, written=name == "select")
    if found is not None:
        yield f"{name} {found}"


def _texts(given: object) -> list[str]:
    return given if isinstance(given, list) and all(isinstance(text, str) for text in given) else []


def _refusal(check: Callable[[str], object], text: str) -> list[str]:
    try:
        check(text)
    except PermanentError as error:
        return [error.message]
    return []
