"""``smarttag catalogue``: make the catalogue anew, and hand it to the engines that people own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TextColumn

from local import catalogue as work
from local.cli.environment import wired
from local.cli.printing import console, say, say_json, warn_if_empty
from local.cli.rebuild import published

app = typer.Typer(no_args_is_help=True, help="Rebuild or export the catalogue of published jobs.")
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def rebuild(as_json: _Json = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Make the catalogue anew from what lies in the bucket: for jobs of earlier versions, and after smarttag rebuild.

    Jobs may be published meanwhile, and the command may be interrupted and begun again. Settings come from the
    environment.
    """
    at_hand = wired()
    catalogue = at_hand.catalogue
    shown = console(error=True)
    columns = (TextColumn("{task.completed} jobs entered"),)
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        done = work.rebuild(catalogue, published(catalogue.store), lambda: progress.advance(bar))
    if as_json:
        say_json({"jobs": done.jobs, "failed": done.failed})
    else:
        say(f"{done.jobs} jobs are in the catalogue.")
    if not done.jobs:
        warn_if_empty(at_hand)
    for job_id, reason in sorted(done.failed.items()):
        say(f"smarttag: {job_id}: {reason}", error=True)
    if done.failed:
        raise typer.Exit(1)


@app.command()
def export(
    folder: Annotated[Path, typer.Option("--parquet", metavar="DIR", help="Where to write; files there are replaced.")],
    as_json: _Json = False,  # noqa: FBT002 - as above
) -> None:
    """Write jobs and appearances as Parquet, a folder for each day; it needs the extra `catalogue`.

    Settings come from the environment.
    """
    at_hand = wired()
    counts = work.export(at_hand.catalogue, folder)
    if as_json:
        say_json(counts)
    else:
        say(", ".join(f"{count} {kind}" for kind, count in counts.items()) or "The catalogue is empty.")
    if not counts:
        warn_if_empty(at_hand)
