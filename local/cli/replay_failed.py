"""``smarttag replay-failed``: what waits in the queue of failed events is enqueued again."""

from __future__ import annotations

import os
from collections import Counter
from typing import Annotated

import typer

from local.cli.environment import wired
from local.cli.printing import say, say_json
from local.failed_queue import FailedQueue, replay
from shared.credentials import Credentials
from shared.publishing.reports import Word
from shared.triggers import parse


def replay_failed(
    queue: Annotated[
        str, typer.Argument(metavar="URL", help="https://ACCOUNT.mns.REGION.aliyuncs.com/queues/smarttag-failed")
    ],
    limit: Annotated[int, typer.Option(min=1, help="How many messages to take at most.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Enqueue the events again that failed for good and wait in a queue of MNS: the next sweep works on them.

    Each message is deleted once what it asks for is enqueued. Interrupted, this may be run again: nothing is done
    twice. What nobody understands becomes a dead letter. Settings come from the environment.
    """
    at_hand = wired()
    waiting = FailedQueue(queue, lambda: Credentials.from_env_or_context(os.environ))
    done = replay(waiting, lambda body, name: at_hand.publisher.enqueue(parse(body), name), limit)
    if as_json:
        enqueued = [{"messageId": name, "jobs": list(found)} for name, found in done.enqueued.items()]
        say_json({"enqueued": enqueued, "failed": done.failed, "stopped": done.stopped})
    else:
        words = Counter(report["outcome"] for found in done.enqueued.values() for report in found)
        about = ", ".join(f"{count} {Word(word).value}" for word, count in words.items())
        say(f"{len(done.enqueued)} events enqueued again" + (f": {about}" if about else ""))
    for name, why in done.failed.items():
        say(f"smarttag: message {name}: {why}", error=True)
    if done.stopped:
        say(f"smarttag: {done.stopped}", error=True)
    if done.failed or done.stopped:
        raise typer.Exit(1)
