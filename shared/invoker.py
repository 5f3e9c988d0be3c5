"""Calling functions of Function Compute 2.0: our publisher asynchronously, ``fc://`` targets directly.

aliyun-fc2 signs. Its own client does not send, because it retries a refused connection for thirty seconds, logs the
authorization header and the STS token with every error, and stumbles over error bodies that are no JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import partial
from pathlib import PurePath

from shared.credentials import Credentials
from shared.errors import AccessRefused, PermanentError, Unavailable
from shared.refusals import AGAIN, SLOWER, Answer, Rule, Service, Subject
from shared.retrying import Limits
from shared.service_calls import Request, ServiceCalls, up_to
from shared.settings import EventFunction

_LARGEST = 1 << 18  # bytes of an answer that are read


class _AlreadyAccepted(PermanentError):
    """There is a task with this ID."""


FUNCTION_COMPUTE = Service(
    "Function Compute",
    "INVOKE_ENDPOINT",
    (
        Rule("2", "", Unavailable, "the function failed; see its log"),
        Rule("5|408", "", *AGAIN),
        Rule("401|403", "", AccessRefused, "allow fc:InvokeFunction to our role, and check its credentials"),
        Rule("409", "", _AlreadyAccepted, "a task with this ID was accepted before"),
        Rule("429", "", *SLOWER),
        Rule("", "", PermanentError, "check that the function exists, and what it accepts"),
    ),
)


def endpoint(account_id: str, region: str) -> str:
    """Return the URL of Function Compute's API for one account."""
    return f"https://{account_id}.{region}.fc.aliyuncs.com"


class Invoker:
    """Invokes functions by the API of 2016-08-15, which knows them by their service: those of FC 3.0 have none.

    Args:
        endpoint: ``INVOKE_ENDPOINT``, or see ``endpoint``.
        credentials: read at every call, because they rotate.
    """

    def __init__(self, endpoint: str, credentials: Callable[[], Credentials]) -> None:
        self._endpoint = endpoint
        self._credentials = credentials

    def hand_off(self, target: EventFunction, payload: bytes, task_id: str, timeout: float = 10.0) -> bool:
        """Ask for one asynchronous invocation.

        Args:
            target: the function.
            payload: its event, up to 128 kB.
            task_id: up to 128 of A-Z, a-z, 0-9, _ and -, no digit first; the function must be in task mode for it
                to count.
            timeout: seconds in all.

        Returns:
            True if it was accepted now, False if one with this ``task_id`` had been accepted before.

        Raises:
            Throttled, TimedOut, Unavailable: worth retrying with the same ``task_id``.
            AccessRefused, PermanentError: not allowed, no such function, or too large.
        """
        headers = {
            "x-fc-invocation-type": "Async",
            "x-fc-stateful-async-invocation-id": task_id,
            "x-fc-async-task-id": task_id,  # its name in FC 3.0
        }
        try:
            self.call(target.service, target.qualifier, target.function, payload, timeout, headers)
        except _AlreadyAccepted:
            return False
        return True

    def call(
        self,
        service: str,
        qualifier: str | None,
        function: str,
        payload: bytes,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Invoke a function once, wait for it ``timeout`` seconds in all, and return what it returned.

        Raises:
            Throttled, TimedOut, Unavailable: worth retrying, which is the caller's business; a function that failed
                is ``Unavailable``.
            AccessRefused, PermanentError: not allowed, no such function, or too large.
        """
        qualified = f"{service}.{qualifier}" if qualifier else service
        subject = Subject(f"{qualified}/{function}", {"function": f"{qualified}/{function}"})
        path = f"/2016-08-15/services/{qualified}/functions/{function}/invocations"
        limits = Limits(connect=5.0, read=timeout, total=timeout, attempts=1)
        # Made once, so not on a kept connection, which may have died while the instance was frozen.
        calls = ServiceCalls(FUNCTION_COMPUTE, self._endpoint)
        signed = partial(self._signed, path, payload, dict(headers or {}))
        return calls.call(subject, signed, _body, limits, up_to(_LARGEST))

    def _signed(self, path: str, payload: bytes, headers: dict[str, str]) -> Request:
        from fc2.auth import Auth

        # The SDK writes on the root logger; at DEBUG that includes the STS token.
        logging.getLogger().addFilter(_is_not_from_sdk)
        now = self._credentials()
        headers |= {"date": formatdate(usegmt=True), "content-type": "application/json"}
        if now.security_token:
            headers["x-fc-security-token"] = now.security_token
        signer = Auth(now.access_key_id, now.access_key_secret, now.security_token)
        headers["authorization"] = signer.sign_request("POST", path, headers)
        return Request("POST", path, {**headers, "connection": "close"}, payload)


def _body(answer: Answer) -> bytes:
    return answer.body


def _is_not_from_sdk(record: logging.LogRecord) -> bool:
    return PurePath(record.pathname).parent.name != "fc2"
