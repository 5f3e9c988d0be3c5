"""Signed links and sessions, made and checked. Pure.

Whoever holds a link can read one job's report and the files beside it, until it expires. Its token is
``lnk_<job ID>.<expiry>.<key ID>.<signature>``, the expiry in seconds since 1970. A session is what a browser has once
an API token was signed in with: ``ses_<expiry>.<key ID>.<signature>.<name of the token>``.

Signatures are HMAC-SHA256 over everything else in the token and a purpose, so that nothing else signed with the same
key passes for a link, or for a session.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shared.jobs import REPORT
from shared.patterns import regex
from shared.settings import ApiToken, LinkKey, Settings

SHORTEST, LONGEST = 60, 7_776_000  # seconds that a link may live
_SKEW = 3600  # seconds; the clock of whoever signed may be ahead of ours
_DAY = 86400
_LINK, _SESSION = "smarttag-relay link\n", "smarttag-relay session\n"  # purposes
SESSION_SECONDS = 8 * 3600
_TOKEN = regex(
    r"lnk_(?P<job>[A-Za-z0-9_-]{1,64})\.(?P<expires>[1-9][0-9]{0,11})\.[A-Za-z0-9_-]{1,32}\.(?P<signature>[A-Za-z0-9_-]{43})"
)

_SIGNED_IN = regex(
    r"ses_(?P<expires>[1-9][0-9]{0,11})\.[A-Za-z0-9_-]{1,32}\.[A-Za-z0-9_-]{43}\.(?P<name>[A-Za-z0-9_.-]{1,64})"
)


class Link(NamedTuple):
    """A link that was made: where the report opens, and until when, in seconds since 1970."""

    url: str
    expires: int


@dataclass(frozen=True)
class Links:
    """Makes and checks links.

    Attributes:
        public_url: ``PUBLIC_URL``, without a slash at the end.
        keys: ``LINK_KEYS``; the first signs, all verify.
        days: ``LINK_DAYS``: how long a link works if nobody says otherwise.
        clock: counts seconds since 1970.
    """

    public_url: str
    keys: tuple[LinkKey, ...]
    days: int
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, settings: Settings) -> Links | None:
        """Return what the settings ask for; None unless both ``PUBLIC_URL`` and ``LINK_KEYS`` are set."""
        if not (settings.public_url and settings.link_keys):
            return None
        return cls(settings.public_url, settings.link_keys, settings.link_days)

    def make(self, job_id: str, seconds: int | None = None) -> Link:
        """Return a link to a job's report that works for so many seconds, or else for ``days``."""
        expires = int(self.clock()) + (self.days * _DAY if seconds is None else seconds)
        token = _link(self.keys[0], job_id, str(expires))
        return Link(f"{self.public_url}/s/{token}/{REPORT}", expires)

    def job(self, token: str) -> str | None:
        """Return the job that a token opens; None if it was not signed by one of the keys, or has expired."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        # With every key, and the whole token in constant time: how long it takes tells nothing.
        signed = [hmac.compare_digest(_link(key, match["job"], match["expires"]), token) for key in self.keys]
        left = int(match["expires"]) - self.clock()
        return match["job"] if any(signed) and 0 < left <= LONGEST + _SKEW else None


@dataclass(frozen=True)
class Sessions:
    """Makes and checks sessions.

    A session is signed over the hash of its API token too: it ends when that is taken out of ``API_TOKENS``, and may do
    what the token may do at that moment.

    Attributes:
        keys: ``LINK_KEYS``; the first signs, all verify.
        tokens: ``API_TOKENS``.
        clock: counts seconds since 1970.
    """

    keys: tuple[LinkKey, ...]
    tokens: tuple[ApiToken, ...]
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, settings: Settings) -> Sessions | None:
        """Return what the settings ask for; None without ``LINK_KEYS``, or where the trigger authenticates."""
        on = settings.link_keys and settings.api_auth == "token"
        return cls(settings.link_keys, settings.api_tokens) if on else None

    def make(self, token: ApiToken) -> str:
        """Return a session of ``SESSION_SECONDS`` for whoever showed this token."""
        return _session(self.keys[0], token, str(int(self.clock()) + SESSION_SECONDS))

    def token(self, session: str) -> ApiToken | None:
        """Return the API token that a session stands for; None if it is none of ours, or has ended."""
        match = _SIGNED_IN.fullmatch(session)
        if match is None or not 0 < int(match["expires"]) - self.clock() <= SESSION_SECONDS + _SKEW:
            return None
        named = [token for token in self.tokens if token.name == match["name"] and token.scope != "push"]
        signed = [
            token
            for token in named
            for key in self.keys
            if hmac.compare_digest(_session(key, token, match["expires"]), session)
        ]
        return signed[0] if signed else None


def signatures(body: bytes) -> list[str]:
    """Return the signatures of all links in a text: without them, what else is known of a link opens nothing."""
    return [match["signature"] for match in _TOKEN.finditer(body.decode(errors="replace"))]


def _link(key: LinkKey, job_id: str, expires: str) -> str:
    head = f"lnk_{job_id}.{expires}.{key.id}"
    return f"{head}.{_sign(key, _LINK + head)}"


def _session(key: LinkKey, token: ApiToken, expires: str) -> str:
    head = f"ses_{expires}.{key.id}"
    return f"{head}.{_sign(key, f'{_SESSION}{head}.{token.name}.{token.sha256}')}.{token.name}"


def _sign(key: LinkKey, text: str) -> str:
    digest = hmac.digest(key.secret, text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
