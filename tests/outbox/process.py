"""A process of its own, with the real directory store and the real sender, run by test_processes.py.

``process.py crash ROOT URL``: for every step number, tell a job of its own in a child that dies at that step, then
repair in another child; prints the number of steps. ``process.py race ROOT URL COUNT``: once ROOT/go exists, tell one
job COUNT times at once; prints the states.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))


from shared.storage.base import ObjectInfo
from shared.storage.directory import DirectoryStore
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber
from tests.fakes.node import Node, reader

SECRET = "whsec_" + "A" * 32


class Mortal:
    """Passes every call on, and ends the process at one of them, before or after it took effect."""

    def __init__(self, inner: object, steps: list[int], later: float = 0.0) -> None:
        self._inner = inner
        self._steps = steps  # how many are left to live
        self._later = later  # seconds that the store's clock is ahead

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._inner, name)

        def call(*args: object, **more: object) -> object:
            self._step()
            result = operation(*args, **more)
            self._step()
            if isinstance(result, ObjectInfo):
                return dataclasses.replace(result, age=result.age + self._later)
            return result

        return call

    def _step(self) -> None:
        if self._steps[0] == 0:
            os._exit(9)
        self._steps[0] -= 1


def node(root: Path, url: str, steps: list[int] | None = None, later: float = 0.0) -> Node:
    steps = steps or [-1]
    store: Any = Mortal(DirectoryStore(root), steps, later)
    sender: Any = Mortal(Sender(AddressGuard((ipaddress.ip_network("127.0.0.0/8"),))), steps)
    to = (Subscriber(id=name, url=f"{url}/{name}", secrets=(SECRET,)) for name in ("a", "b"))
    return Node(store, reader(*to), sender, clock=lambda: time.time() + later, base=f"file://{root}", seconds=60)


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crash(root: Path, url: str) -> None:
    number = 0
    while die_at(number, root / str(number), url):
        number += 1
    sys.stdout.write(json.dumps(number))


def die_at(number: int, root: Path, url: str) -> bool:
    """Tell a job and die at step ``number``, repair that; say whether there was such a step."""
    job = f"job-{number}"
    died = in_child(lambda: node(root, url, [number]).tell(job))
    in_child(lambda: node(root, url).tell(job))
    in_child(lambda: node(root, url, None, 200.0).sweep())
    in_child(lambda: node(root, url, None, 280.0).sweep())
    return died != 0


def race(root: Path, url: str, count: int) -> None:
    states: list[str] = []
    ours = node(root, url)

    def tell() -> None:
        states.extend(ours.tell("job-1").values())

    threads = [threading.Thread(target=tell) for _ in range(count)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not (root / "go").exists():
        time.sleep(0.001)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(states))


if __name__ == "__main__":
    what, root_, url_, *rest = sys.argv[1:]
    if what == "crash":
        crash(Path(root_), url_)
    else:
        race(Path(root_), url_, int(rest[0]))
