"""The ways into a function besides MNS: its HTTP trigger, a timer, and the 2016-08-15 API that ``fc2`` speaks."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import email.utils
import hashlib
import hmac
import json
import re
import threading
import time
from typing import TYPE_CHECKING

from local.cloud.fc import FunctionCompute
from local.cloud.fc_http import refuse
from local.cloud.server import Refusal, Request, Response, StandIn

if TYPE_CHECKING:
    from typing_extensions import Self

_INVOCATIONS = re.compile(
    r"/2016-08-15/services/(?P<service>[A-Za-z0-9_-]+)(\.[A-Za-z0-9_-]+)?/functions/(?P<name>[A-Za-z0-9_-]+)/invocations"
)
_CLOCK_SKEW_SECONDS = 900


class FcHttpTrigger(StandIn):
    """The public address of one function's HTTP trigger, on loopback."""

    def __init__(self, functions: FunctionCompute, name: str, port: int = 0) -> None:
        super().__init__(port)
        self._functions = functions
        self._name = name

    def answer(self, request: Request) -> Response:
        """Pass the request to the function."""
        return self._functions.http(self._name, request)


class FcApi(StandIn):
    """InvokeFunction of API version 2016-08-15: signature and STS token checked, synchronous and asynchronous."""

    def __init__(self, functions: FunctionCompute, port: int = 0) -> None:
        super().__init__(port)
        self._functions = functions

    def answer(self, request: Request) -> Response:
        """Check the caller and run the function."""
        try:
            self._authenticate(request)
            return self._invoke(request)
        except Refusal as refusal:
            return refuse(refusal)

    def _invoke(self, request: Request) -> Response:
        target = _INVOCATIONS.fullmatch(request.path)
        if request.method != "POST" or target is None:
            raise Refusal(404, "PathNotSupported", f"{request.method} {request.path} is not InvokeFunction")
        if target["service"] != self._functions.service:
            raise Refusal(404, "ServiceNotFound", f"service {target['service']} does not exist")
        if request.headers.get("x-fc-invocation-type", "Sync").lower() == "async":
            task_id = request.headers.get("x-fc-stateful-async-invocation-id", "")
            accepted = self._functions.invoke_function(target["name"], request.body, task_id=task_id, wait=False)
            return Response(accepted.status, headers={"X-Fc-Request-Id": accepted.request_id})
        result = self._functions.invoke_function(target["name"], request.body)
        headers = {"Content-Type": "application/octet-stream", "X-Fc-Request-Id": result.request_id}
        if result.error_type:
            headers |= {"Content-Type": "application/json", "X-Fc-Error-Type": result.error_type}
        return Response(result.status, result.payload, headers)

    def _authenticate(self, request: Request) -> None:
        key, headers = self._functions.credentials, request.headers
        date = email.utils.parsedate_tz(headers.get("date", ""))
        if date is None or abs(email.utils.mktime_tz(date) - time.time()) > _CLOCK_SKEW_SECONDS:
            raise Refusal(403, "RequestTimeTooSkewed", "Date is missing, or more than 15 minutes off")
        if not hmac.compare_digest(headers.get("x-fc-security-token", ""), key.security_token):
            raise Refusal(403, "InvalidSecurityToken", "the security token is not the one that was issued")
        ours = sorted(name for name in headers if name.startswith("x-fc-"))
        parts = [request.method, *(headers.get(name, "") for name in ("content-md5", "content-type", "date"))]
        text = "\n".join([*parts, *(f"{name}:{headers[name]}" for name in ours), request.path])
        digest = hmac.digest(key.access_key_secret.encode(), text.encode(), hashlib.sha256)
        wanted = f"FC {key.access_key_id}:{base64.b64encode(digest).decode()}"
        if not hmac.compare_digest(headers.get("authorization", "").encode(), wanted.encode()):
            raise Refusal(403, "SignatureNotMatch", "the signature is not that of the request")


class Timer:
    """A timer trigger: fires every ``seconds`` while used as a context manager, and on demand."""

    def __init__(
        self, functions: FunctionCompute, function: str, seconds: float, *, name: str = "sweep", payload: str = ""
    ) -> None:
        self._functions = functions
        self._function = function
        self._seconds = seconds
        self._fixed = {"triggerName": name, "payload": payload}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        self._thread.join(5)

    def fire(self) -> None:
        """Fire now."""
        when = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._functions.invoke_async(self._function, json.dumps({"triggerTime": when, **self._fixed}).encode())

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            with contextlib.suppress(Refusal):
                self.fire()
