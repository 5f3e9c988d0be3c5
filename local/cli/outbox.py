"""``smarttag outbox``: what waits, for whom, since when, and when it is tried next."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.table import Column

from local.cli.printing import say, say_json, say_table
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
        for task in sorted(relay(os.environ).outbox.listed(), key=lambda task: task.due)
    ]
    if as_json:
        say_json(entries)
    elif not entries:
        say("Nothing is waiting.")
    else:
        columns = (
            Column("job", no_wrap=True),
            "what",
            Column("to", no_wrap=True),
            "attempt",
            "waiting since",
            "next try",
        )
        say_table(columns, map(_row, entries), f"{len(entries)} waiting")


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    what = f"{entry['kind']} {entry.get('event', '')}".strip()
    since, due = (entry[name][:19].replace("T", " ") for name in ("enqueuedAt", "nextTry"))
    return entry["jobId"], what, entry.get("subscriber", ""), entry["attempt"], since, due
