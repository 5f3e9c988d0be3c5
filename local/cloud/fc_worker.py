"""One instance of a function: what the built-in Python runtime of Function Compute does around a handler.

Run by ``local.cloud.fc`` as a script of its own process, with the function's interpreter; standard library only, and
nothing of this project on its path but the function's code. Arguments: the descriptor of a socket to the parent, and a
folder of packages that are found behind the function's own, or nothing.
A frame on it is two big-endian 32-bit lengths, a JSON object and bytes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import errno
import faulthandler
import importlib.util
import io
import json
import logging
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

_MAX_LOG_BYTES = 131072
_KEPT = {
    *("FC_FUNC_CODE_PATH", "FC_FUNCTION_MEMORY_SIZE", "FC_RUNTIME_VERSION", "FC_ACCOUNT_ID", "FC_FUNCTION_HANDLER"),
    *("FC_FUNCTION_NAME", "FC_SERVICE_NAME", "FC_VER_ID", "FC_QUALIFIER", "FC_REGION", "FC_INSTANCE_ID"),
}
_LENGTHS = struct.Struct("!II")
_request_id = "-"


def send(channel: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    """Write one frame."""
    packed = json.dumps(head).encode()
    channel.sendall(_LENGTHS.pack(len(packed), len(body)) + packed + body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Read one frame; ``EOFError`` if the other side is gone."""
    head, body = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size))
    return json.loads(_exactly(channel, head)), _exactly(channel, body)


def _exactly(channel: socket.socket, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        piece = channel.recv(min(size - len(pieces), 1 << 20))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


class _Credentials(SimpleNamespace):
    """The names of the runtime's own class, and its camel-case aliases."""

    accessKeyId = property(lambda self: self.access_key_id)
    accessKeySecret = property(lambda self: self.access_key_secret)
    securityToken = property(lambda self: self.security_token)


class _Context(SimpleNamespace):
    """The second argument of a handler; python3.12 has no ``credentials``, ``service`` and ``tracing``."""

    requestId = property(lambda self: self.request_id)

    def getLogger(self) -> logging.Logger:  # noqa: N802 - the runtime's name
        return logging.getLogger()

    def to_json(self) -> str:
        return json.dumps(vars(self), default=lambda value: getattr(value, "__dict__", None))


def _context(fields: dict[str, Any]) -> _Context:
    made = {name: SimpleNamespace(**value) if isinstance(value, dict) else value for name, value in fields.items()}
    if "credentials" in fields:
        made["credentials"] = _Credentials(**fields["credentials"])
    return _Context(logger=None, **made)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = f"{when}.{int(record.msecs):03d}Z {_request_id} [{record.levelname}] {super().format(record)}"
        return line.encode()[:_MAX_LOG_BYTES].decode(errors="ignore")


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("FC_SERVER_LOG_LEVEL", "INFO"))


def _clear_environment() -> None:
    """Remove what the runtime removes before user code: every other ``FC_*``, a function's own settings included."""
    for name in [name for name in os.environ if name.startswith(("FC_", "_FC_")) and name not in _KEPT]:
        del os.environ[name]


def _on_sigterm(_signal: int, _frame: object) -> NoReturn:
    faulthandler.dump_traceback(all_threads=True)
    sys.exit(143)


def _protect_code() -> None:
    """Refuse every change below the code folder, which the platform mounts read-only."""
    code = os.path.realpath(os.environ["FC_FUNC_CODE_PATH"]) + os.sep
    changes = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate"}
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        paths: tuple[Any, ...] = arguments[:2] if event in changes else ()
        if event == "open" and (arguments[2] or 0) & writing:
            paths = arguments[:1]
        for path in paths:
            if isinstance(path, (str, bytes)) and os.path.realpath(os.fsdecode(path)).startswith(code):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    sys.addaudithook(watch)


class ImportModuleError(Exception):
    """The runtime's name for a handler that is not there."""


def _load(handler: str) -> Callable[..., object]:
    """Find ``module.function`` or ``folder/module.function`` under the code folder, as a plain file."""
    name, _, function = handler.rpartition(".")
    if name not in sys.modules:
        path = Path(os.environ["FC_FUNC_CODE_PATH"], f"{name}.py")
        if not path.is_file():
            raise ImportModuleError(f"Unable to import module '{name}': no file {name}.py in the code")
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportModuleError(f"Unable to import module '{name}'")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    found: Callable[..., object] | None = getattr(sys.modules[name], function, None)
    if found is None:
        raise ImportModuleError(f"Unable to import module '{name}': it has no '{function}'")
    return found


def _stack(error: BaseException) -> list[str]:
    """Return the runtime's form of a stack: one flat list of file, line, function and code, frame after frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return [
        part for at in frames for part in (f'File "{at.filename}"', f"line {at.lineno}", f"in {at.name}", at.line or "")
    ]


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, default=_convert, indent=4, sort_keys=True).encode()


def _convert(value: Any) -> object:  # noqa: ANN401 - json's own contract
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if hasattr(value, "to_json"):
        return value.to_json()
    raise TypeError(f"{value!r} is not JSON serializable")


def _serve_one(frame: dict[str, Any], event: bytes) -> tuple[bool, bytes]:
    """Run one initializer or invocation; return whether it succeeded, and its payload."""
    global _request_id  # noqa: PLW0603 - the runtime is a process-wide thing
    _request_id = frame["context"]["request_id"]
    word = "Initialize" if frame["kind"] == "initialize" else "Invoke"
    print(f"FC {word} Start RequestId: {_request_id}")
    try:
        arguments = (_context(frame["context"]),) if word == "Initialize" else (event, _context(frame["context"]))
        payload = _to_bytes(_load(frame["handler"])(*arguments))
    except Exception as error:  # noqa: BLE001 - this is the boundary around somebody's code
        fault = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": _stack(error)}
        traceback.print_exc()
        print(f"FC {word} End RequestId: {_request_id}, Error: Unhandled function error")
        return False, json.dumps(fault).encode()
    print(f"FC {word} End RequestId: {_request_id}")
    return True, payload


def main() -> None:
    """Serve frames until the parent closes the socket."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    sys.path[0] = os.environ["FC_FUNC_CODE_PATH"]
    if sys.argv[2]:
        sys.path.append(sys.argv[2])
    _configure_logging()
    _clear_environment()
    _protect_code()
    signal.signal(signal.SIGTERM, _on_sigterm)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a crash loses no line
    print("FunctionCompute python3 runtime inited.")
    send(channel, {"ready": True})
    while True:
        try:
            frame, event = receive(channel)
        except (EOFError, OSError):
            return
        succeeded, payload = _serve_one(frame, event)
        send(channel, {"succeeded": succeeded}, payload)


if __name__ == "__main__":
    main()
