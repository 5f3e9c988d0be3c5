"""One JSON line per event on standard output; Function Compute collects it. Secrets never pass.

A line holds ``time`` (UTC), ``level``, ``event``, the project's ``version``, and what ``bind`` and the caller added.
Every text in it is masked before it is written as JSON, so a line is JSON whatever a secret looks like.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import TextIO
from urllib.parse import quote

import orjson

from shared import __version__
from shared.errors import RelayError
from shared.patterns import regex

_bound: ContextVar[dict[str, object]] = ContextVar("bound", default={})  # noqa: B039 - replaced, never changed in place
_protected: tuple[str, ...] = ()  # longest first: one may be part of another; replaced, never changed in place
_learning = threading.Lock()
_SHORTEST_SECRET = 8  # characters; shorter ones would mask ordinary words
_DEEPEST = 32  # levels of lists and mappings in one field
_MASK = "***"
_SHAPES = regex(
    r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]+"  # webhook secrets
    r"|\b(?:LTAI|STS\.)[A-Za-z0-9]{8,}"  # AccessKey IDs
    r"|\blnk_[A-Za-z0-9_-]{1,64}\.[0-9]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # of links; bounded: linear
    r"|\bses_[0-9]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # sessions
    r"|(?i:(?<=bearer ))[^\s&'\"]+"
)
_NAMED = regex(  # what follows one of these names, as in a header, a query or the repr of either
    r"(?i)((?:authorization|signature|security-?token)['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|acs|fc|mns|oss\S*)\s+)?)"
    r"[^\s&'\"]+"
)
_SCHEME = regex(r"(?i)(?:basic|bearer|token|apikey)\s+(?P<secret>\S+)")
# Python and many collectors end a line at these too; JSON may hold them as they are or escaped.
_LINE_ENDS = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"})


def protect(*secrets: str) -> None:
    """Mask these values from now on, as they are, escaped or in a URL; of ``Bearer abc`` the last word too."""
    global _protected  # noqa: PLW0603 - one log, one mask; the lock keeps two threads from losing what the other learnt
    words = {match["secret"] for secret in secrets if (match := _SCHEME.fullmatch(secret))}
    known = {secret for secret in {*secrets, *words} if len(secret) >= _SHORTEST_SECRET}
    with _learning:
        new = {form for each in known for form in _forms(each)}.difference(_protected)
        if new:
            _protected = tuple(sorted((*_protected, *new), key=len, reverse=True))


def _forms(secret: str) -> tuple[str, ...]:
    return secret, repr(secret)[1:-1], quote(secret, safe="", errors="replace")


def redact(text: str) -> str:
    """Return ``text`` with every known or secret-looking value masked."""
    for secret in _protected:
        if secret in text:
            text = text.replace(secret, _MASK)
    return _SHAPES.sub(_MASK, _NAMED.sub(rf"\1{_MASK}", text))


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields, such as the request ID, to every line logged inside."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def log(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event. ``event`` is a constant such as ``job.published``; everything variable is a field."""
    logging.getLogger("smarttag").log(level, event, extra={"fields": fields})


def log_error(event: str, error: BaseException, *, level: int = logging.ERROR, **fields: object) -> None:
    """Log a failure with its type, message and own fields."""
    detail = {"error": type(error).__name__, "message": str(error)}
    own = error.fields if isinstance(error, RelayError) else {}
    log(event, level=level, **{**own, **detail, **fields})


def set_up(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send events to ``stream`` (standard output). Safe to call at every cold start; other loggers stay as they are."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_JsonLine())
    logger = logging.getLogger("smarttag")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            "version": __version__,
            **getattr(record, "fields", {}),
            **_bound.get(),  # last: an error of another service may carry a request ID of its own
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(_masked(line)).decode().translate(_LINE_ENDS)


def _masked(value: object, level: int = 0) -> object:
    """Return a value as orjson takes it, with every text in it masked; a log line is never worth an exception."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else hex(value)
    if level < _DEEPEST and isinstance(value, Mapping):
        return {_masked_text(key): _masked(inner, level + 1) for key, inner in value.items()}
    if level < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(inner, level + 1) for inner in value]
    return _masked_text(value)


def _masked_text(value: object) -> str:
    try:
        text = str(value.value if isinstance(value, Enum) else value)
    except Exception:  # noqa: BLE001 - whatever an object's own code raises, RecursionError of a deep one included
        text = f"<{type(value).__name__}>"
    return redact(text).encode(errors="backslashreplace").decode()
