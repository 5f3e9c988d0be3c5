"""A process of its own, run by test_crash.py: ``crash_worker.py ROOT RECEIVER MPS``.

For every step number the whole callback handles a job of its own in a child that dies at that step: before or after
any call of the store, of MPS and of the sender. The message is then delivered again, and swept after the lease.
Prints the number of steps.
"""

from __future__ import annotations

import ipaddress
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import orjson

from local.cloud.accounts import ROLE
from shared.mps.client import MpsClient
from shared.smarttag import analyse, make_artifacts
from shared.storage.directory import DirectoryStore
from shared.triggers import parse
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber
from tests.fakes.node import Node, reader
from tests.outbox.process import SECRET, Mortal, in_child


def node(root: Path, receiver: str, mps: str, steps: list[int], later: float = 0.0) -> Node:
    store: Any = Mortal(DirectoryStore(root), steps, later)
    sender: Any = Mortal(Sender(AddressGuard((ipaddress.ip_network("127.0.0.0/8"),))), steps)
    source: Any = Mortal(MpsClient(mps, "cn-shanghai", lambda: ROLE, 2**27), steps)
    subscriber = Subscriber(id="a", url=f"{receiver}/a", secrets=(SECRET,), payload="full")
    clock = lambda: time.time() + later  # noqa: E731 - what a worker takes for the time
    return Node(store, reader(subscriber), sender, clock=clock, base=f"file://{root}", source=source)


def die_at(number: int, root: Path, receiver: str, mps: str) -> bool:
    """Handle the message and die at step ``number``, then redeliver and sweep; say whether there was such a step."""
    message = parse(orjson.dumps({"Type": "smarttag", "JobId": f"job-{number}", "State": "Success"}))

    def handle(steps: int) -> None:
        node(root, receiver, mps, [steps]).publisher.receive(message, request_id="test", seconds=60)

    died = in_child(lambda: handle(number))
    in_child(lambda: handle(-1))
    for later in (200.0, 285.0):  # after the lease, and after the first retry; a receiver takes timestamps 300 s off
        in_child(lambda later=later: node(root, receiver, mps, [-1], later).sweep())  # type: ignore[misc]  # bound
    return died != 0


def warm_up(mps: str) -> None:
    """Load here what every child would load again."""
    make_artifacts(analyse(MpsClient(mps, "cn-shanghai", lambda: ROLE, 2**27).query("job-0", 30), "job-0"))


if __name__ == "__main__":
    where, to, ask = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    warm_up(ask)
    step = 0
    while die_at(step, where / str(step), to, ask):
        step += 1
    sys.stdout.write(orjson.dumps(step).decode())
