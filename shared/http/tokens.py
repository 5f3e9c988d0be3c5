"""Who may do what: bearer tokens with a name and a scope, of which only the SHA-256 is known here."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Sequence

from shared.http.problems import FORBIDDEN, UNAUTHORIZED, Problem
from shared.logs import log
from shared.settings import ApiToken

_GRANTS = {"read": {"read"}, "write": {"read", "write"}, "push": {"push"}}
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]{1,256}=*) *")
_CHALLENGE = 'Bearer realm="smarttag-relay"'


class TokenAuth:
    """Lets callers in.

    Args:
        tokens: all that are known.
        auth: ``token``, or ``trigger`` where the FC trigger has authenticated the caller before we see the request.
    """

    def __init__(self, tokens: Sequence[ApiToken], auth: str) -> None:
        self._tokens = tuple(tokens)
        self._auth = auth
        if auth == "token" and not any(token.scope in {"read", "write"} for token in tokens):
            log(
                "http.no_tokens",
                level=logging.WARNING,
                advice="set API_TOKENS: until then every request is answered 401",
            )

    def caller(self, authorization: str | None, scope: str) -> str:
        """Return the name of the token that grants ``scope``; raise ``Problem`` 401 or 403."""
        if self._auth == "trigger":
            return "trigger"
        match = _BEARER.fullmatch(authorization or "")
        if match is None:
            raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": _CHALLENGE})
        token = self.find(match[1])
        if token is None:
            invalid = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
            raise Problem(UNAUTHORIZED, "This token is not known; ask for a new one.", invalid)
        if scope not in _GRANTS[token.scope]:
            lacking = {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'}
            raise Problem(FORBIDDEN, f"This route needs scope {scope}; the token has {token.scope}.", lacking)
        return token.name

    def pusher(self, secret: str) -> str:
        """Return the name of the push token in a path, which ``trigger`` needs too; raise ``Problem`` 403."""
        token = self.find(secret)
        if token is None or token.scope != "push":
            raise Problem(FORBIDDEN, "The path must end in a token of scope push.")
        return token.name

    def find(self, secret: str) -> ApiToken | None:
        """Return the token that this is, if it is one.

        Compare with every token, always all of them, in constant time: how long it takes tells nothing.
        """
        digest = hash_of(secret)
        found = None
        for token in self._tokens:
            found = token if hmac.compare_digest(token.sha256, digest) else found
        return found


def hash_of(secret: str) -> str:
    """Return what a setting holds of a token. Tokens are 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def mint(name: str, scope: str) -> tuple[str, str]:
    """Return a new token and the entry of ``API_TOKENS`` that admits it."""
    secret = f"str_{secrets.token_urlsafe(32)}"
    return secret, f"{name}:{scope}:{hash_of(secret)}"
