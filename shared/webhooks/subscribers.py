"""subscribers.json: who wants to be told what, and how.

One faulty subscriber is reported by id and costs the others nothing. No reason names a secret, a header's value
or more of a URL than its host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import orjson

from shared.errors import BadInput, PermanentError, SubscribersBroken
from shared.webhooks.signing import check_secret

EVENT_TYPES = (
    "smarttag.job.succeeded",
    "smarttag.job.failed",
    "smarttag.job.processing",
    "smarttag.job.submitted",
)

FUNCTION_URL = re.compile(
    r"fc://(?P<service>[A-Za-z_][A-Za-z0-9_-]{0,127})(?:\.(?P<qualifier>[A-Za-z0-9_-]+))?/(?P<function>[A-Za-z_][A-Za-z0-9_-]{0,63})"
)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENV = re.compile(r"env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
_PATTERN = re.compile(r"[A-Za-z0-9_.*]{1,64}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")
# Ours to set, or about the connection and not about the message.
_RESERVED = re.compile(
    r"webhook-.*|host|content-length|content-type|content-encoding|transfer-encoding|connection|te|trailer|upgrade"
    r"|expect|keep-alive|proxy-.*|user-agent|accept-encoding",
    re.IGNORECASE,
)
_LONGEST_EXPRESSION = 2000


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One receiver, checked. ``secrets`` and ``headers`` are resolved, so its repr shows neither, nor the whole URL."""

    id: str
    url: str = field(repr=False)  # may hold a token in its path
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...] = ("smarttag.job.*",)
    when: str | None = None
    select: str | None = None
    payload: str = "thin"  # thin | full
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    enabled: bool = True

    @property
    def target(self) -> str:
        """Where it is, for people: scheme and host, or the function."""
        parts = urlsplit(self.url)
        return self.url if parts.scheme == "fc" else f"{parts.scheme}://{parts.netloc}"

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
        return not (found is None or found is False or (isinstance(found, (str, list, dict)) and not found))

    def selected(self, summary: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the expression picks
        """Return what ``select`` picks out of the summary; the whole summary if there is no ``select``.

        Raises:
            BadInput: ``select`` cannot be evaluated over this summary.
        """
        return summary if self.select is None else self._search("select", self.select, summary)

    def _search(self, name: str, expression: str, summary: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        import jmespath
        from jmespath.exceptions import JMESPathError

        try:
            return jmespath.search(expression, summary)
        except (JMESPathError, ValueError, TypeError, RecursionError) as error:
            raise BadInput(
                f"subscriber {self.id}: {name} cannot be evaluated: {str(error)[:300]}; correct it in SUBSCRIBERS_URL",
                subscriber=self.id,
            ) from error


@dataclass(frozen=True, slots=True)
class Broken:
    """A subscriber that cannot be served until a person corrects it.

    ``id`` is its own where that is well-formed, else ``#`` and its position in the list, counted from 1.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The whole file."""

    good: tuple[Subscriber, ...]
    broken: tuple[Broken, ...]


def parse(body: bytes, env: Mapping[str, str], check_url: Callable[[str], None]) -> Subscribers:
    """Read subscribers.json.

    Args:
        body: the file.
        env: where ``env:NAME`` secrets and header values are looked up.
        check_url: raises a ``PermanentError`` for an http(s) URL that must not be dialled: ``Guard.check_url``.

    Raises:
        SubscribersBroken: the file as a whole cannot be read.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Not chained: the cause carries the whole file, secrets included.
        raise SubscribersBroken(f"SUBSCRIBERS_URL holds no valid JSON ({error}); correct the file") from None
    if not isinstance(document, dict) or document.get("version") != 1 or document["version"] is True:
        raise SubscribersBroken('SUBSCRIBERS_URL does not say {"version": 1, ...}; correct the file')
    entries = document.get("subscribers")
    if not isinstance(entries, list):
        raise SubscribersBroken('SUBSCRIBERS_URL has no list of "subscribers"; correct the file')

    good: list[Subscriber] = []
    broken: list[Broken] = []
    names = [_name(entry, position) for position, entry in enumerate(entries, 1)]
    for name, times in Counter(names).items():
        if times > 1:
            broken.append(Broken(name, f"{times} subscribers have this id; give each its own"))
    for name, entry in zip(names, entries, strict=True):
        if any(fault.id == name for fault in broken):
            continue
        try:
            good.append(_subscriber(entry, env, check_url))
        except PermanentError as error:
            broken.append(Broken(name, error.message))
    return Subscribers(tuple(good), tuple(broken))


def _name(entry: object, position: int) -> str:
    name = entry.get("id") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and _ID.fullmatch(name) else f"#{position}"


def _subscriber(entry: object, env: Mapping[str, str], check_url: Callable[[str], None]) -> Subscriber:
    if not isinstance(entry, dict):
        raise BadInput("is no JSON object")
    return _Reader(entry, env, check_url).subscriber()


class _Reader:
    """Reads one entry and collects its faults, so that a person corrects them all at once."""

    def __init__(self, entry: dict[str, Any], env: Mapping[str, str], check_url: Callable[[str], None]) -> None:
        self._entry = entry
        self._env = env
        self._check_url = check_url
        self._faults: list[str] = []

    def subscriber(self) -> Subscriber:
        unknown = sorted(self._entry.keys() - Subscriber.__slots__)
        if unknown:
            self._faults.append(f"unknown fields {', '.join(ascii(name[:40]) for name in unknown)}")
        read = Subscriber(
            id=self._id(),
            url=self._url(),
            secrets=self._secrets(),
            events=self._events(),
            when=self._expression("when"),
            select=self._expression("select"),
            payload=self._payload(),
            headers=self._headers(),
            enabled=self._enabled(),
        )
        if self._faults:
            raise BadInput("; ".join(self._faults))
        return read

    def _id(self) -> str:
        name = self._entry.get("id")
        if isinstance(name, str) and _ID.fullmatch(name):
            return name
        self._faults.append("id is not 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
        return ""

    def _url(self) -> str:
        url = self._entry.get("url")
        if not isinstance(url, str) or not url:
            self._faults.append("url is missing or no text")
            return ""
        if url.startswith("fc:"):
            if not FUNCTION_URL.fullmatch(url):
                self._faults.append("url is not of the form fc://service.qualifier/function")
        else:
            try:
                self._check_url(url)
            except PermanentError as error:
                self._faults.append(error.message)
        return url

    def _secrets(self) -> tuple[str, ...]:
        secrets = []
        for position, text in enumerate(self._texts("secrets"), 1):
            secret = self._resolved(text, f"secret {position}")
            if secret:
                try:
                    check_secret(secret)
                except BadInput as error:
                    self._faults.append(f"secret {position}: {error.message}")
                secrets.append(secret)
        return tuple(secrets)

    def _events(self) -> tuple[str, ...]:
        if "events" not in self._entry:
            return ("smarttag.job.*",)
        patterns = self._texts("events")
        for pattern in patterns:
            # A pattern that matches nothing is a slip of the pen that would silence the subscriber for ever.
            if not _PATTERN.fullmatch(pattern) or not any(fnmatchcase(known, pattern) for known in EVENT_TYPES):
                self._faults.append(f"event pattern {pattern[:64]!a} matches none of {', '.join(EVENT_TYPES)}")
        return patterns

    def _expression(self, name: str) -> str | None:
        text = self._entry.get(name)
        if text is None:
            return None
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_EXPRESSION:
            self._faults.append(f"{name} is no JMESPath expression of up to {_LONGEST_EXPRESSION} characters")
            return None
        fault = _jmespath_fault(text)
        if fault:
            self._faults.append(f"{name} is no valid JMESPath: {fault}")
        return text

    def _payload(self) -> str:
        payload = self._entry.get("payload", "thin")
        if payload not in ("thin", "full"):
            self._faults.append("payload is neither thin nor full")
            return "thin"
        return str(payload)

    def _headers(self) -> dict[str, str]:
        given = self._entry.get("headers", {})
        if not isinstance(given, dict):
            self._faults.append("headers is no object of names and texts")
            return {}
        headers = {}
        for name, text in given.items():
            shown = f"header {name[:64]!a}"
            value = self._resolved(text, shown) if isinstance(text, str) else None
            if not _HEADER_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
                self._faults.append(f"{shown} is no header name, or one that is not yours to set")
            elif not isinstance(text, str) or (value is not None and not _HEADER_VALUE.fullmatch(value)):
                self._faults.append(f"{shown} has a value that is no line of printable ASCII")
            elif value is not None:
                headers[name] = value
        if len({name.lower() for name in given}) < len(given):
            self._faults.append("headers names one header twice")
        return headers

    def _enabled(self) -> bool:
        enabled = self._entry.get("enabled", True)
        if not isinstance(enabled, bool):
            self._faults.append("enabled is neither true nor false")
        return enabled is True

    def _texts(self, name: str) -> tuple[str, ...]:
        texts = self._entry.get(name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
            self._faults.append(f"{name} is no list of at least one text")
            return ()
        return tuple(texts)

    def _resolved(self, text: str, what: str) -> str | None:
        """Return the text, or what the environment holds where it says ``env:NAME``."""
        match = _ENV.fullmatch(text)
        if match is None:
            return text
        value = self._env.get(match["name"], "").strip()
        if not value:
            self._faults.append(f"{what}: environment variable {match['name']} is not set")
        return value or None


def _jmespath_fault(expression: str) -> str | None:
    import jmespath
    from jmespath.exceptions import JMESPathError
    from jmespath.functions import Functions

    try:
        nodes = [jmespath.compile(expression).parsed]
    except (JMESPathError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())[:200]
    while nodes:  # the library itself notices an unknown function only when it is called
        node = nodes.pop()
        if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
            return f"there is no function {node['value'][:40]!a}"
        nodes += [child for child in node["children"] if isinstance(child, dict)]
    return None
