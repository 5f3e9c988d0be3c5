"""``smarttag outbox``: what waits, for whom, since when, and when it is tried next."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from shared.outbox.records import iso
from shared.wiring import relay


def outbox(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Show what waits: deliveries, fan-outs and publications, soonest first. Settings come from the environment."""
    entries = [
        {
            **task.describe(),
            "attempt": task.attempt,
            "enqueuedAt": iso(task.enqueued_at),
            "nextTry": iso(task.due),
        }
        for task in relay(os.environ).outbox.listed()
    ]
    if as_json:
        print(json.dumps(entries))
        return
    job, to = Column("job", no_wrap=True), Column("to", no_wrap=True)
    table = Table(job, "what", to, "attempt", "waiting since", "next try", title=f"{len(entries)} waiting")
    for entry in entries:
        what = f"{entry['kind']} {entry.get('event', '')}".strip()
        since, due = (entry[name][:19].replace("T", " ") for name in ("enqueuedAt", "nextTry"))
        table.add_row(entry["jobId"], what, entry.get("subscriber", ""), str(entry["attempt"]), since, due)
    console = Console()
    # A narrow terminal may break the lines, but no name is cut short.
    names = (len(entry["jobId"]) + len(entry.get("subscriber", "")) for entry in entries)
    console.width = max(console.width, 90 + max(names, default=0))
    console.print(table if entries else "Nothing is waiting.")
