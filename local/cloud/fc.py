"""A stand-in for Function Compute: each instance of a function is a process of its own, with FC's environment.

What is kept: the event as bytes, the context of python3.10 and python3.12, one request at a time per instance, the
initializer and the environment's credentials once per instance, a code folder that cannot be written to, the
conversion of answers and exceptions, the end on a time-out (SIGTERM, exit 143), freezing on demand, asynchronous
retries and the onFailure destination, the limits of payloads. README.md beside this has the whole list, and what is not
kept.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from local.cloud import fc_async, fc_http
from local.cloud.background import Background
from local.cloud.fc_async import AsyncOutcome
from local.cloud.fc_instance import ACCOUNT_ID, Call, Function, Instance, Result
from local.cloud.server import Refusal, Request, Response
from shared.credentials import Credentials

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncOutcome", "Function", "FunctionCompute", "Result"]
_ASYNC_LIMIT = 128 * 1024


class FunctionCompute:
    """The functions of one account and region. A context manager: at its end no process is left.

    Args:
        functions: what is deployed.
        credentials: of the functions' role; assign ``credentials`` to rotate them: contexts hold the new ones from
            then on, the environment of a running instance never.
        logs: a folder that gets ``<function>.log``: everything its processes print.
        service: the service of the 2016-08-15 API, and of python3.10's context.
        retry_delay: seconds before asynchronous retry n (from 1).
    """

    def __init__(
        self,
        functions: Iterable[Function],
        *,
        credentials: Credentials,
        logs: Path,
        region: str = "cn-shanghai",
        service: str = "smarttag-relay",
        retry_delay: Callable[[int], float] = lambda _retry: 0.05,
    ) -> None:
        self.credentials = credentials
        self.region = region
        self.service = service
        self.outcomes: list[AsyncOutcome] = []
        self._functions = {function.name: function for function in functions}
        self._slots = {name: threading.Semaphore(each.instances) for name, each in self._functions.items()}
        self._idle: dict[str, list[Instance]] = {name: [] for name in self._functions}
        self._all: set[Instance] = set()
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._retry_delay = retry_delay
        self._tasks: set[str] = set()
        self._lock = threading.Lock()
        self._background = Background()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._background.stopping.set()
        with self._lock:
            instances = list(self._all)
        for instance in instances:
            instance.stop()
        self._background.drain(5)

    def deployed(self, name: str) -> Function:
        """Return how the function is configured; ``Refusal`` if there is none."""
        if name not in self._functions:
            raise Refusal(404, "FunctionNotFound", f"function {name} does not exist")
        return self._functions[name]

    def log(self, name: str) -> str:
        """Return everything the function's processes printed so far."""
        path = self._logs / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def invoke(self, name: str, event: bytes, *, request_id: str = "", retry_count: int = 0) -> Result:
        """Run the function on ``event`` and wait; ``Refusal`` if there is no such function."""
        function = self.deployed(name)
        call = Call(request_id or _request_id(), retry_count, self.region, self.service, self.credentials)
        with self._slots[name]:
            instance = self._take(function, call)
            try:
                return instance.invoke(call, event)
            finally:
                self._give_back(name, instance)

    def invoke_async(self, name: str, event: bytes, *, task_id: str = "") -> str:
        """Accept ``event``, run it in the background with retries; return the request ID.

        Raises:
            Refusal: unknown function, an event over 128 KB, or (409) a ``task_id`` that was accepted before.
        """
        function = self.deployed(name)
        if len(event) > _ASYNC_LIMIT:
            raise Refusal(400, "InvalidArgument", "the payload of an asynchronous invocation exceeds 128 KB")
        request_id = _request_id()
        with self._lock:
            if f"{name}/{task_id}" in self._tasks:
                raise Refusal(409, "StatefulAsyncInvocationAlreadyExists", f"task {task_id} was accepted before")
            if task_id:
                self._tasks.add(f"{name}/{task_id}")
        if not self._background.start(self._run_async, function, event, request_id):
            raise _stopping()
        return request_id

    def invoke_function(self, name: str, event: bytes, *, task_id: str = "", wait: bool = True) -> Result:
        """Do what the API's InvokeFunction does: to a function with an HTTP trigger the event is the body of a request.

        Raises:
            Refusal: as ``invoke`` and ``invoke_async`` do.
        """
        if self.deployed(name).http:
            path = f"/2023-03-30/functions/{name}/invocations"
            event = fc_http.to_event(Request("POST", path, path, {}, {}, event), _request_id(), self.region, ACCOUNT_ID)
        if wait:
            return self.invoke(name, event)
        return Result(202, b"", request_id=self.invoke_async(name, event, task_id=task_id))

    def freeze(self) -> None:
        """Freeze every idle instance until its next request. The platform does so after each one; here, on demand."""
        with self._lock:
            for instances in self._idle.values():
                for instance in instances:
                    instance.freeze()

    def await_end(self, name: str, seconds: float = 10.0) -> bool:
        """Wait until no idle instance of the function runs any more; False if one still does after ``seconds``."""
        with self._lock:
            idle = tuple(self._idle[name])
        return all(instance.await_end(seconds) for instance in idle)

    def drain(self, seconds: float = 30.0) -> bool:
        """Wait until nothing runs in the background any more; False if it still does after ``seconds``."""
        return self._background.drain(seconds)

    def http(self, name: str, request: Request) -> Response:
        """Send ``request`` through the function's HTTP trigger."""
        request_id = _request_id()
        try:
            event = fc_http.to_event(request, request_id, self.region, ACCOUNT_ID)
            if request.headers.get("x-fc-invocation-type", "").lower() == "async":
                return Response(202, headers={"X-Fc-Request-Id": self.invoke_async(name, event)})
            result = self.invoke(name, event, request_id=request_id)
        except Refusal as refusal:
            return fc_http.refuse(refusal)
        trace = {"X-Fc-Request-Id": request_id}
        if result.error_type:
            headers = {"Content-Type": "application/json", "X-Fc-Error-Type": result.error_type, **trace}
            return Response(502, result.payload, headers)
        answer = fc_http.to_response(result.payload)
        return Response(answer.status, answer.body, {**answer.headers, **trace})

    def _take(self, function: Function, call: Call) -> Instance:
        with self._lock:
            if self._background.stopping.is_set():
                raise _stopping()
            while self._idle[function.name]:
                if (idle := self._idle[function.name].pop()).usable:
                    return idle
                self._all.discard(idle)
                idle.stop()
            instance = Instance(function, call, self._logs / f"{function.name}.log")
            self._all.add(instance)
        return instance

    def _give_back(self, name: str, instance: Instance) -> None:
        with self._lock:
            if instance.usable and not self._background.stopping.is_set():
                self._idle[name].append(instance)
                return
            self._all.discard(instance)
        instance.stop()

    def _run_async(self, function: Function, event: bytes, request_id: str) -> None:
        def invoke(number: int) -> Result:
            return self.invoke(function.name, event, request_id=request_id, retry_count=number)

        stopping = self._background.stopping
        try:
            outcome = fc_async.run(function.name, invoke, function.retries, self._retry_delay, stopping.wait)
            if outcome is None or stopping.is_set():
                return
            self.outcomes.append(outcome)
            if outcome.result.error_type and function.on_failure is not None:
                failed = fc_async.failure_event(outcome, event, self.region, time.time())
                if callable(function.on_failure):
                    function.on_failure(failed)
                else:
                    self.invoke_async(function.on_failure, failed)
        except Refusal:
            pass  # the stand-in is stopping, or the destination does not take it: nobody is left to be told


def _stopping() -> Refusal:
    return Refusal(503, "ServiceUnavailable", "the stand-in is stopping")


def _request_id() -> str:
    return f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
