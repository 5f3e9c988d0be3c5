"""One JSON line per event on standard output; Function Compute collects it. Secrets never pass.

A line holds ``time`` (UTC), ``level``, ``event``, the project's ``version``, and what ``bind`` and the caller added.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import orjson

from shared import __version__
from shared.errors import RelayError

_bound: ContextVar[dict[str, object]] = ContextVar("bound", default={})  # noqa: B039 - replaced, never changed in place
_protected: deque[str] = deque(maxlen=256)
_SHAPES = re.compile(
    r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]+"  # webhook secrets
    r"|\b(?:LTAI|STS\.)[A-Za-z0-9]{8,}"  # AccessKey IDs
    r"|(?i:(?<=signature=)|(?<=securitytoken=)|(?<=security-token: )|(?<=authorization: )|(?<=bearer ))[^\s&'\"]+"
)
_MASK = "***"


def protect(*secrets: str) -> None:
    """Mask these exact values from now on, whatever they look like."""
    for secret in secrets:
        if len(secret) >= 8 and secret not in _protected:  # noqa: PLR2004 - shorter values would mask ordinary words
            _protected.append(secret)


def redact(text: str) -> str:
    """Return ``text`` with every known or secret-looking value masked."""
    for secret in tuple(_protected):  # another thread may add one meanwhile
        text = text.replace(secret, _MASK)
    return _SHAPES.sub(_MASK, text)


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
        try:
            text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)
        except (TypeError, ValueError):  # lone surrogates, huge integers: a log line is never worth an exception
            text = orjson.dumps({key: ascii(value) for key, value in line.items()}, option=orjson.OPT_NON_STR_KEYS)
        return redact(text.decode())
