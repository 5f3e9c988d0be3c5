"""Asynchronous invocation: an event is tried until it succeeds or its retries are used up, then the destination has it.

The waits are the caller's, so that tests can let hours pass at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from local.cloud.fc_instance import ACCOUNT_ID, Result


@dataclass(frozen=True)
class AsyncOutcome:
    """How an asynchronous invocation ended."""

    function: str
    attempts: int
    result: Result


def run(
    name: str,
    invoke: Callable[[int], Result],
    retries: int,
    delay: Callable[[int], float],
    wait: Callable[[float], bool],
) -> AsyncOutcome | None:
    """Invoke the function until it succeeds, or until all retries have failed.

    Args:
        name: of the function.
        invoke: makes the attempt of this number, from 0.
        retries: after the first attempt.
        delay: seconds before retry n, from 1.
        wait: lets seconds pass; True if nothing is to be tried any more.

    Returns:
        None where ``wait`` said so.
    """
    result = invoke(0)
    for retry in range(1, retries + 1):
        if not result.error_type:
            return AsyncOutcome(name, retry, result)
        if wait(delay(retry)):
            return None
        result = invoke(retry)
    return AsyncOutcome(name, retries + 1, result)


def failure_event(outcome: AsyncOutcome, event: bytes, region: str, now: float) -> bytes:
    """Return what the onFailure destination is sent; ``now`` is in seconds since 1970."""
    result = outcome.result
    message = {
        "timestamp": int(now * 1000),
        "requestContext": {
            "requestId": result.request_id,
            "functionArn": f"acs:fc:{region}:{ACCOUNT_ID}:functions/{outcome.function}",
            "condition": result.error_type,
            "approximateInvokeCount": outcome.attempts,
        },
        "requestPayload": _as_text(event),
        "responseContext": {"statusCode": result.status, "functionError": result.error_type},
        "responsePayload": _as_text(result.payload),
    }
    return json.dumps(message, ensure_ascii=False).encode()


def _as_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
