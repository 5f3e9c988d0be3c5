"""Makes one attempt per random answer in a process of its own, and prints what came of them.

The receiver takes the number of an answer from the webhook's id, so both sides know what is said.
"""

from __future__ import annotations

import concurrent.futures
import json
import ssl
import sys
import threading
import time
from typing import get_args

from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import AttemptKind, Sender
from shared.webhooks.subscribers import Subscriber
from tests.memory import peak
from tests.webhooks.grammar import speak
from tests.webhooks.net import LOOPBACK, SECRET, Lead

DEADLINE = 2.0
AT_A_TIME = 6


class Starvation(threading.Thread):
    """Adds up the seconds in which this process should have run and did not: other processes', and no fault of ours."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0

    def run(self) -> None:
        while True:
            wall, own = time.monotonic(), time.process_time()
            time.sleep(0.01)
            self.seconds += max(0.0, time.monotonic() - wall - 0.02 - (time.process_time() - own))


def main(port: str, first: str, last: str, authority: str) -> None:
    """Print faults, the longest attempt and how much memory the attempts after the first tenth took."""
    if authority:
        context = ssl.create_default_context(cafile=authority)
        sender, url = Sender(Lead(int(port)).guard(), context=context), "https://cms.example.com/hooks"
    else:
        sender, url = Sender(AddressGuard(allow=LOOPBACK)), f"http://127.0.0.1:{port}/hooks"
    subscriber = Subscriber("cms", url, (SECRET,))

    starvation = Starvation()
    starvation.start()

    def attempt(seed: int) -> tuple[str | None, float]:
        started = time.monotonic() - starvation.seconds
        try:
            made = sender.send(subscriber, f"evt_{seed}", 1, b"{}", DEADLINE)
        except BaseException as error:  # noqa: BLE001 - just this must not happen
            return f"{seed}: raised {error!r}", 0.0
        seconds = time.monotonic() - starvation.seconds - started
        spoken = speak(seed)
        if made.kind not in get_args(AttemptKind) or "fault of ours" in (made.error or ""):
            return f"{seed}: {made}", seconds
        if spoken.status not in {None, made.status}:
            return f"{seed}: {made} instead of {spoken.status}", seconds
        return None, seconds

    seeds = range(int(first), int(last))
    faults: list[str] = []
    longest = 0.0
    early = 0
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for done, (fault, seconds) in enumerate(pool.map(attempt, seeds)):
            faults += [fault] if fault else []
            longest = max(longest, seconds)
            if done == len(seeds) // 10:
                early = peak()
    print(
        json.dumps({"attempts": len(seeds), "faults": faults[:10], "longest": longest, "early": early, "peak": peak()})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
