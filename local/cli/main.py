"""The command line, ``smarttag``: everything a person does from a terminal."""

from __future__ import annotations

import sys

import typer

from local.cli import dead, demo, markers, outbox, serve, subscribers, summarise, token
from local.cli.printing import say
from shared.errors import RelayError

app = typer.Typer(
    help="Smarttag Relay: summaries, reports and webhooks for MPS smart-tagging jobs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(serve.serve)
app.command()(summarise.summarise)
app.command()(markers.markers)
app.command()(outbox.outbox)
app.add_typer(dead.app, name="dead")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the command line; a known failure is one line on standard error and exit status 1."""
    try:
        app()
    except RelayError as error:
        say(f"smarttag: {error}", error=True)
        sys.exit(1)
