"""One instance of a function: a process of its own, with the environment and context of Function Compute's runtime."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.cloud import fc_worker
from shared.credentials import Credentials

ACCOUNT_ID = "1234567890123456"
_STARTUP_SECONDS = 30.0
_EXIT_SECONDS = 0.5  # to leave by itself, once the channel is closed
_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Function:
    """A function as it is configured.

    Attributes:
        handler: ``module.function`` or ``folder/module.function`` under ``code``.
        code: the folder of the code.
        initializer: as ``handler``; empty for none.
        runtime: ``python3.10`` or ``python3.12``; decides what the context holds, not which ``python`` runs.
        builtin: a folder of packages that are found behind those of ``code``, as the platform's own are.
        timeout: seconds; the platform's own default is 3.
        instances: how many processes at most; a further request waits for one of them.
        retries: after the first asynchronous attempt.
        http: whether it has an HTTP trigger, which makes every invocation an HTTP event.
        on_failure: where an event goes that failed for good: the name of a function, or something to call with it.
    """

    name: str
    handler: str
    code: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    initializer: str = ""
    runtime: str = "python3.10"
    python: str = sys.executable
    builtin: Path | None = None
    timeout: float = 60.0
    memory: int = 512
    instances: int = 4
    retries: int = 3
    http: bool = False
    on_failure: str | Callable[[bytes], object] | None = None


@dataclass(frozen=True)
class Result:
    """What came of one invocation: ``error_type`` is empty on success; ``payload`` then is the function's answer."""

    status: int
    payload: bytes
    error_type: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Call:
    """What one invocation is told besides its event."""

    request_id: str
    retry_count: int
    region: str
    service: str
    credentials: Credentials


class Instance:
    """A process and the channel to it; used by one request at a time."""

    def __init__(self, function: Function, call: Call, log: Path) -> None:
        self._whole = True
        self._function = function
        self._fresh = True
        self._channel, theirs = socket.socketpair()
        with log.open("ab") as output, theirs, contextlib.ExitStack() as undo:
            undo.callback(self._channel.close)
            self._process = subprocess.Popen(
                [function.python, fc_worker.__file__, str(theirs.fileno()), str(function.builtin or "")],
                cwd=function.code,
                env=_environment(function, call),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C at the terminal is for the parent to handle
            )
            undo.pop_all()

    @property
    def usable(self) -> bool:
        """Whether it may serve another request: every one so far was answered, and it has not ended itself."""
        return self._whole and self._process.poll() is None

    def invoke(self, call: Call, event: bytes) -> Result:
        """Run the handler, and before the first time the initializer."""
        self._process.send_signal(signal.SIGCONT)
        if self._fresh:
            self._fresh = False
            failure = self._start(call)
            if failure is not None:
                return failure
        return self._run("invoke", self._function.handler, call, event)

    def await_end(self, seconds: float) -> bool:
        """Wait until the process has ended by itself; False if it still runs after ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def freeze(self) -> None:
        """Stop all its threads until the next request, as the platform does between two."""
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """End the process: it leaves by itself when the channel closes, unless it is busy."""
        self._whole = False
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._end(_EXIT_SECONDS)
        self._channel.close()

    def _start(self, call: Call) -> Result | None:
        """Wait for the runtime, which is not part of the function's time; run the initializer."""
        self._channel.settimeout(_STARTUP_SECONDS)
        try:
            fc_worker.receive(self._channel)
        except (OSError, EOFError):
            return self._lost(call, "The runtime did not start", 0)
        if not self._function.initializer:
            return None
        result = self._run("initialize", self._function.initializer, call, b"")
        self._whole = not result.error_type
        return result if result.error_type else None

    def _run(self, kind: str, handler: str, call: Call, event: bytes) -> Result:
        self._whole = False  # until a whole answer is here
        self._channel.settimeout(self._function.timeout)
        context = _context(self._function, call)
        try:
            fc_worker.send(self._channel, {"kind": kind, "handler": handler, "context": context}, event)
            head, payload = fc_worker.receive(self._channel)
        except TimeoutError:
            return self._lost(call, f"Function timed out after {self._function.timeout:g} seconds", 0)
        except (OSError, EOFError):
            return self._lost(call, "Process exited unexpectedly before completing request", _EXIT_SECONDS)
        self._whole = True
        return Result(200, payload, "" if head["succeeded"] else "UnhandledInvocationError", call.request_id)

    def _lost(self, call: Call, message: str, patience: float) -> Result:
        self._whole = False
        code = self._end(patience)
        payload = json.dumps({"errorMessage": f"{message} (exit code {code})"}).encode()
        return Result(200, payload, "UnhandledInvocationError", call.request_id)

    def _end(self, patience: float) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience)
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_GRACE_SECONDS)
        self._process.kill()
        return self._process.wait(10)


def _environment(function: Function, call: Call) -> dict[str, str]:
    """Return all that the process ever gets, credentials too: they grow old with it. Nothing of ours is there."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **function.environment,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": call.credentials.access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": call.credentials.access_key_secret,
        "ALIBABA_CLOUD_SECURITY_TOKEN": call.credentials.security_token,
        "FC_FUNC_CODE_PATH": str(function.code),
        "FC_FUNCTION_NAME": function.name,
        "FC_FUNCTION_HANDLER": function.handler,
        "FC_FUNCTION_MEMORY_SIZE": str(function.memory),
        "FC_SERVICE_NAME": call.service,
        "FC_ACCOUNT_ID": ACCOUNT_ID,
        "FC_REGION": call.region,
        "FC_QUALIFIER": "LATEST",
        "FC_VER_ID": "LATEST",
        "FC_INSTANCE_ID": str(uuid.uuid4()),
        "FC_RUNTIME_VERSION": "1.0.0",
    }


def _context(function: Function, call: Call) -> dict[str, Any]:
    """Return the fields of the handler's second argument; the documentation of each runtime lists them."""
    about = {name: getattr(function, name) for name in ("name", "handler", "memory", "timeout")}
    place = {"request_id": call.request_id, "region": call.region, "account_id": ACCOUNT_ID}
    version = {"qualifier": "LATEST", "version_id": ""}
    logs = {"log_project": "", "log_store": ""}
    if function.runtime == "python3.12":
        return {**place, **logs, "function": {**about, **version}}
    names = ("access_key_id", "access_key_secret", "security_token")
    return {
        **place,
        "function": about,
        "service": {"name": call.service, **logs, **version},
        "credentials": {name: getattr(call.credentials, name) for name in names},
        "tracing": {"span_context": "", "span_baggages": {}, "jaeger_endpoint": ""},
        "retry_count": call.retry_count,
    }
