"""The command line, ``smarttag``: everything a person does from a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import typer

from local.cli import (
    backfill,
    catalogue,
    dead,
    demo,
    doctor,
    invoke,
    jobs,
    link,
    markers,
    outbox,
    purge,
    rebuild,
    replay_failed,
    serve,
    subscribers,
    summarise,
    token,
)
from local.cli.environment import as_deployed
from local.cli.printing import say, say_json
from local.cli.version import Version
from shared.errors import RelayError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def options(version: Version = False) -> None:  # noqa: FBT002 - it is printed before this is called
    """Smarttag Relay: summaries, reports and webhooks for MPS smart-tagging jobs."""


app.command()(demo.demo)
app.command()(serve.serve)
app.command()(summarise.summarise)
app.command()(markers.markers)
app.command()(rebuild.rebuild)
app.command()(backfill.backfill)
app.command()(doctor.doctor)
app.command()(invoke.invoke)
app.command()(replay_failed.replay_failed)
app.command()(outbox.outbox)
app.command()(jobs.jobs)
app.command()(link.link)
app.command()(purge.purge)
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(dead.app, name="dead")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the command line; a known failure, or a file or pipe that fails, is one line on standard error and status 1.

    Where JSON was asked for, standard output holds some in any case: here ``{"error"}``.
    """
    os.environ.update(as_deployed(os.environ))
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - closed, as by 2>&-
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # whatever the locale: names are in every script
    try:
        app()
    except (RelayError, OSError) as error:
        told = f"{error.filename or 'output'}: {error.strerror}" if isinstance(error, OSError) else error.message
        with suppress(OSError):  # it may be the output that fails
            say(f"smarttag: {told}", error=True)
            if "--json" in sys.argv:
                say_json({"error": told})
        sys.exit(1)
