"""``smarttag serve``: keep the local cloud up, for trying requests and for watching what subscribers get."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.text import Text

from local import recorded
from local.cli.printing import console, printable, say
from local.cloud.world import TOKEN, World, world


def serve(
    port: Annotated[int, typer.Option(help="Port of the HTTP API on 127.0.0.1.")] = 8080,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where objects and logs are left.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float, typer.Option(help="Stop by itself after so many seconds; 0: never.")] = 0,
) -> None:
    """Keep the local cloud running until Ctrl-C, with the recorded jobs waiting to be published."""
    jobs = recorded.jobs()
    responses = {job.job_id: job.response for job in jobs.values()}
    with world(output, responses, port=port, sweep_seconds=10) as cloud:
        say(f"HTTP API   {cloud.http.url}")
        say(f"token      {TOKEN}")
        say(f"objects    {cloud.objects}")
        say("jobs")
        for name, job in jobs.items():
            say(f"  {job.job_id}  {name}: {job.description}")
        first = next(iter(jobs.values()))
        say()
        say("Try, from another terminal:")
        header = f'-H "Authorization: Bearer {TOKEN}"'
        say(f"  curl {header} -X POST {cloud.http.url}/jobs/{first.job_id}/publish")
        say(f"  curl {header} {cloud.http.url}/jobs/{first.job_id}")
        say()
        say("Webhooks show here as they come; Ctrl-C ends.")
        try:
            watch(cloud, seconds)
        except KeyboardInterrupt:
            say("stopped")


def watch(cloud: World, seconds: float) -> None:
    """Print what comes to the receivers; after so many seconds that is enough, unless they are 0."""
    shown = dict.fromkeys(cloud.receivers, 0)
    pause = threading.Event()
    ticks = int(seconds / 0.2) if seconds else None
    while ticks is None or ticks > 0:
        pause.wait(0.2)
        ticks = ticks if ticks is None else ticks - 1
        for name, receiver in cloud.receivers.items():
            for delivery in receiver.deliveries[shown[name] :]:
                shown[name] += 1
                body = orjson.loads(delivery.body)
                mark = ("verified", "green") if delivery.verified else ("NOT VERIFIED", "red")
                told = printable(f"{name:8} {body['type']:24} {body['data']['jobId']}  ")
                console().print(Text.assemble(told, mark), soft_wrap=True)
