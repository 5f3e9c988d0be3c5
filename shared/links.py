"""Signed links: whoever holds one can read one job's report and the files beside it, until it expires. Pure.

A token is ``lnk_<job ID>.<expiry>.<key ID>.<signature>``, the expiry in seconds since 1970. The signature is
HMAC-SHA256 over everything before it and a purpose, so that nothing else signed with the same key passes for a link.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shared.jobs import REPORT
from shared.settings import LinkKey, Settings

SHORTEST, LONGEST = 60, 7_776_000  # seconds that a link may live
_SKEW = 3600  # seconds; the clock of whoever signed may be ahead of ours
_DAY = 86400
_PURPOSE = "smarttag-relay link\n"
_TOKEN = re.compile(
    r"lnk_(?P<job>[A-Za-z0-9_-]{1,64})\.(?P<expires>[1-9][0-9]{0,11})\.[A-Za-z0-9_-]{1,32}\.(?P<signature>[A-Za-z0-9_-]{43})"
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
        token = _sign(self.keys[0], job_id, str(expires))
        return Link(f"{self.public_url}/s/{token}/{REPORT}", expires)

    def job(self, token: str) -> str | None:
        """Return the job that a token opens; None if it was not signed by one of the keys, or has expired."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        # With every key, and the whole token in constant time: how long it takes tells nothing.
        signed = [hmac.compare_digest(_sign(key, match["job"], match["expires"]), token) for key in self.keys]
        left = int(match["expires"]) - self.clock()
        return match["job"] if any(signed) and 0 < left <= LONGEST + _SKEW else None


def signatures(body: bytes) -> list[str]:
    """Return the signatures of all links in a text: without them, what else is known of a link opens nothing."""
    return [match["signature"] for match in _TOKEN.finditer(body.decode(errors="replace"))]


def _sign(key: LinkKey, job_id: str, expires: str) -> str:
    head = f"lnk_{job_id}.{expires}.{key.id}"
    digest = hmac.digest(key.secret, (_PURPOSE + head).encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
