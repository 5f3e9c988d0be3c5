"""The event function: MNS messages, timer sweeps and our own commands in; a report out."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from shared import logs, metrics
from shared.credentials import end_if_stranded
from shared.errors import RelayError
from shared.relay import relay
from shared.settings import Settings

DEFAULT_SECONDS = 60.0  # the time limit assumed where the context names none


def initializer(_context: object) -> None:
    """Check the settings, so that a wrong one fails the deployment's first start and not the first message."""
    settings = Settings.from_env(os.environ)
    logs.set_up(settings.log_level)


def handler(event: bytes, context: object) -> dict[str, Any]:
    """Handle one trigger event.

    Returns:
        ``{"results": [{"jobId", "outcome", "detail"?}]}``, one per message in the event.

    Raises:
        RelayError: something is worth retrying; everything else in the event has been done.
    """
    began, seconds = time.monotonic(), _seconds(context)
    request_id = str(getattr(context, "request_id", "") or "local")
    with logs.bind(requestId=request_id), metrics.measured("callback"):
        try:
            reports = relay(os.environ, context).handle(event, request_id=request_id, seconds=seconds)
        except RelayError as error:
            logs.log_error("callback.failed", error, seconds=round(time.monotonic() - began, 3))
            end_if_stranded(error, context)
            raise
        answer = {"results": reports}
        logs.log("callback.done", level=logging.INFO, **answer, seconds=round(time.monotonic() - began, 3))
        return answer


def _seconds(context: object) -> float:
    """Return the function's own time limit; the runtime gives it as a number or as text."""
    limit = getattr(getattr(context, "function", None), "timeout", None)
    try:
        return float(limit or DEFAULT_SECONDS)
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
