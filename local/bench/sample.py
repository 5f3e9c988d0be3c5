"""One sample: some work in a process of its own, and what it took.

Run as a script by whatever interpreter the code is for; standard library only. Arguments: the folder to import from,
the name of a function below, and its arguments. The last line printed is a JSON object: ``seconds`` of CPU, ``peak``
bytes of memory, ``answer``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPEATED = 5_000


def summarise(path: str) -> tuple[float, object]:
    """Summarise a response."""
    return _timed(importlib.import_module("shared.smarttag").summarise, Path(path).read_bytes())


def artifacts(path: str) -> tuple[float, object]:
    """Make everything that a job leaves behind from its response."""
    core = importlib.import_module("shared.smarttag")
    return _timed(lambda response: core.make_artifacts(core.analyse(response, "job")), Path(path).read_bytes())


def loads(path: str) -> tuple[float, object]:
    """Decode a result's Data with the collector as Python starts it."""
    return _timed(importlib.import_module("orjson").loads, Path(path).read_bytes())


def loads_uncollected(path: str) -> tuple[float, object]:
    """Decode a result's Data without the collector."""
    gc.disable()
    return loads(path)


def typed(path: str, kind: str, peer: str) -> tuple[float, object]:
    """Decode a result's Data to the types that a peer declares."""
    return _timed(importlib.import_module(peer).decoder(kind), Path(path).read_bytes())


def loads_twice(path: str) -> tuple[float, object]:
    """Decode a response and every Data in it, and keep all of it: what one writes first."""
    read = importlib.import_module("orjson").loads

    def decode(response: bytes) -> list[object]:
        return [read(result["Data"]) for result in read(response)["Results"]["Result"]]

    return _timed(decode, Path(path).read_bytes())


def messages(path: str) -> tuple[float, object]:
    """Read the same event many times."""
    return _repeated(importlib.import_module("shared.triggers").parse, Path(path).read_bytes())


def messages_loads(path: str) -> tuple[float, object]:
    """Decode the envelope and the message in it many times."""
    read = importlib.import_module("orjson").loads

    def decode(event: bytes) -> object:
        return read(read(event)["Message"])

    return _repeated(decode, Path(path).read_bytes())


def invoke(module: str, event: str, context: str) -> tuple[float, object]:
    """Do what the platform does at a cold start: import, initialise, handle. The CPU is all that the process took."""
    given = json.loads(context, object_hook=lambda fields: SimpleNamespace(**fields))
    code = importlib.import_module(module)
    if hasattr(code, "initializer"):
        code.initializer(given)
    answer = code.handler(event.encode(), given)
    return time.process_time(), answer


def drive(module: str, context: str) -> tuple[float, object]:
    """Be one warm instance: handle every event of standard input, a line each, and answer with a line."""
    given = json.loads(context, object_hook=lambda fields: SimpleNamespace(**fields))
    code = importlib.import_module(module)
    for number, event in enumerate(sys.stdin):
        given.request_id = f"bench-{os.getpid()}-{number}"
        answer = code.handler(event.encode(), given)
        print("answered", json.dumps(answer), flush=True)
    return time.process_time(), None


def _timed(work: Any, data: bytes) -> tuple[float, object]:  # noqa: ANN401 - callables of modules imported by name
    started = time.process_time()
    kept = work(data)
    seconds = time.process_time() - started
    del kept  # not while the clock runs
    return seconds, None


def _repeated(work: Any, data: bytes) -> tuple[float, object]:  # noqa: ANN401 - as above
    started = time.process_time()
    for _ in range(REPEATED):
        work(data)
    return time.process_time() - started, None


def main() -> None:
    """Work and tell."""
    sys.path[0], name, *arguments = sys.argv[1:]
    seconds, answer = globals()[name](*arguments)
    status = Path("/proc/self/status").read_text()  # unlike ru_maxrss not inherited from the parent
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print("\n" + json.dumps({"seconds": seconds, "peak": peak, "answer": answer}))


if __name__ == "__main__":
    main()
