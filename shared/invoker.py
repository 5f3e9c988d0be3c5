"""Calling functions of Function Compute through aliyun-fc2: our publisher asynchronously, ``fc://`` targets directly.

The SDK is used for paths, headers and signatures. Sending is done here, because the SDK's own way retries a refused
connection for thirty seconds, logs the authorization header and the STS token with every error, and stumbles over
error bodies that are no JSON.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import orjson

from shared.credentials import Credentials
from shared.errors import AccessRefused, PermanentError, RelayError, Throttled, TimedOut, Unavailable
from shared.settings import HandOff

if TYPE_CHECKING:
    import requests

_CONNECT_SECONDS = 5.0
_CODE = re.compile(r"[A-Za-z0-9_./-]{1,80}")


def endpoint(account_id: str, region: str) -> str:
    """Return the URL of Function Compute's API for one account."""
    return f"https://{account_id}.{region}.fc.aliyuncs.com"


class Invoker:
    """Invokes functions by the API of 2016-08-15.

    Args:
        endpoint: ``INVOKE_ENDPOINT``, or see ``endpoint``.
        credentials: read at every call, because they rotate.
    """

    def __init__(self, endpoint: str, credentials: Callable[[], Credentials]) -> None:
        self._endpoint = endpoint
        self._credentials = credentials

    def hand_off(self, target: HandOff, payload: bytes, task_id: str, timeout: float = 10.0) -> bool:
        """Ask for one asynchronous invocation.

        Args:
            target: the function.
            payload: its event, up to 128 kB.
            task_id: up to 128 of A-Z, a-z, 0-9, _ and -, no digit first; the function must be in task mode for it
                to count.
            timeout: seconds for each wait.

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
        """Invoke a function, wait for it, and return what it returned.

        Raises:
            Throttled, TimedOut, Unavailable: worth retrying; a function that failed is ``Unavailable``.
            AccessRefused, PermanentError: not allowed, no such function, or too large.
        """
        if timeout <= 0:
            raise TimedOut(f"no time was left to call {service}/{function}")
        credentials = self._credentials()
        client = _client_class()(
            endpoint=self._endpoint,
            accessKeyID=credentials.access_key_id,
            accessKeySecret=credentials.access_key_secret,
            securityToken=credentials.security_token,
            Timeout=timeout,
        )
        answer = client.invoke_function(
            service, function, payload=payload, headers=dict(headers or {}), qualifier=qualifier
        )
        return bytes(answer.data)


class _AlreadyAccepted(PermanentError):
    """There is a task with this ID."""


_MEANINGS: Mapping[int, tuple[type[RelayError], str]] = {
    401: (AccessRefused, "not allowed; allow fc:InvokeFunction to our role"),
    403: (AccessRefused, "not allowed; allow fc:InvokeFunction to our role"),
    408: (Unavailable, "Function Compute timed out"),
    409: (_AlreadyAccepted, "a task with this ID was accepted before"),
    429: (Throttled, "throttled by Function Compute"),
}


@cache
def _client_class() -> Any:  # noqa: ANN401 - the SDK has no types
    import fc2
    import requests

    # The SDK writes on the root logger; at DEBUG that includes the STS token.
    logging.getLogger().addFilter(_is_not_from_sdk)

    class Client(fc2.Client):  # type: ignore[misc]  # the SDK has no types
        def _do_request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response:
            with requests.Session() as session:
                session.trust_env = False  # no proxy, and no .netrc that would replace our authorization
                waits = (min(_CONNECT_SECONDS, self.timeout), self.timeout)
                url = self.endpoint + path
                try:
                    answer = session.request(method, url, None, body, headers, timeout=waits, allow_redirects=False)
                # Not chained: the cause carries the request, authorization header included.
                except requests.Timeout:
                    raise TimedOut(f"Function Compute did not answer {_function(path)} in time") from None
                except requests.RequestException as error:
                    raise Unavailable(
                        f"Function Compute could not be reached for {_function(path)} ({type(error).__name__})"
                    ) from None
            failure = _failure(answer, _function(path))
            if failure is not None:
                raise failure
            return answer

    return Client


def _failure(answer: requests.Response, function: str) -> RelayError | None:
    """Return what an answer means if it is not success. Only codes are repeated: messages may quote what was signed."""
    status = answer.status_code
    kind = answer.headers.get("x-fc-error-type")
    error: type[RelayError]
    if answer.ok and status < 300 and not kind:  # noqa: PLR2004 - 2xx
        return None
    if kind and answer.ok:
        error, meaning = Unavailable, "the function failed; see its log"
    elif status >= 500:  # noqa: PLR2004 - 5xx
        error, meaning = Unavailable, "Function Compute failed"
    else:
        error, meaning = _MEANINGS.get(status, (PermanentError, "not accepted; check that the function exists"))
    code, request = _code(kind or _error_code(answer.content)), _code(answer.headers.get("x-fc-request-id"))
    return error(
        f"{function}: {meaning} (status {status}, {code}, request {request})",
        function=function,
        status=status,
        code=code,
        serviceRequestId=request,
    )


def _error_code(body: bytes) -> object:
    with suppress(orjson.JSONDecodeError, AttributeError):
        return orjson.loads(body).get("ErrorCode")
    return None


def _code(text: object) -> str:
    return text if isinstance(text, str) and _CODE.fullmatch(text) else "unknown"


def _function(path: str) -> str:
    """``/2016-08-15/services/service/functions/function/invocations`` as ``service/function``."""
    parts = path.split("/")
    return f"{parts[3]}/{parts[5]}"


def _is_not_from_sdk(record: logging.LogRecord) -> bool:
    return PurePath(record.pathname).parent.name != "fc2"
