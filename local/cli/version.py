"""``--version``."""

from __future__ import annotations

from typing import Annotated

import typer

from local.cli.printing import say
from shared import __version__


def _print(wanted: bool) -> None:  # noqa: FBT001 - typer's way to a flag
    if wanted:
        say(f"smarttag {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print, is_eager=True, help="Print the version and exit.")]
