"""``smarttag serve``: keep the local cloud up, for trying requests and for watching what subscribers get."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from local import recorded
from local.cloud.world import TOKEN, World, world


def serve(
    port: Annotated[int, typer.Option(help="Port of the HTTP API on 127.0.0.1.")] = 8080,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where objects and logs are left.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float, typer.Option(help="Stop by itself after so many seconds; 0: never.")] = 0,
) -> None:
    """Keep the local cloud running until Ctrl-C, with the recorded jobs waiting to be published."""
    console = Console()
    jobs = recorded.jobs()
    responses = {job.job_id: job.response for job in jobs.values()}
    with world(output, responses, port=port, sweep_seconds=10) as cloud:
        console.print(f"HTTP API   {cloud.http.url}", highlight=False)
        console.print(f"token      {TOKEN}", highlight=False)
        console.print(f"objects    {cloud.objects}", highlight=False)
        console.print("jobs")
        for name, job in jobs.items():
            console.print(f"  {job.job_id}  {name}: {job.description}", highlight=False, soft_wrap=True)
        first = next(iter(jobs.values()))
        console.print("\nTry, from another terminal:", highlight=False)
        header = f'-H "Authorization: Bearer {TOKEN}"'
        console.print(
            f"  curl {header} -X POST {cloud.http.url}/jobs/{first.job_id}/publish", soft_wrap=True, highlight=False
        )
        console.print(f"  curl {header} {cloud.http.url}/jobs/{first.job_id}", soft_wrap=True, highlight=False)
        console.print("\nWebhooks show here as they come; Ctrl-C ends.", highlight=False)
        try:
            _watch(cloud, console, seconds)
        except KeyboardInterrupt:
            console.print("stopped")


def _watch(cloud: World, console: Console, seconds: float) -> None:
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
                mark = "[green]verified[/]" if delivery.verified else "[red]NOT VERIFIED[/]"
                console.print(f"{name:8} {body['type']:24} {body['data']['jobId']}  {mark}", highlight=False)
