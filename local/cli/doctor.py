"""``smarttag doctor``: what stands in the way, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from local.cli.printing import console, printable, say_json
from local.doctor import examine
from local.preflight import Finding, Verdict, preflight, serverless_devs
from shared import logs
from shared.relay import Relay
from shared.settings import Settings

_STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAULT: "bold red"}


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Look at the settings only, and ask nobody.")] = False,  # noqa: FBT002 - typer's way to a flag
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,  # noqa: FBT002 - as above
) -> None:
    """Look for what is wrong with settings, rights, bucket, topic, subscribers and timer, and say what to do.

    For before the first deployment, and for whenever something does not come. Settings and credentials come from the
    environment; an object under doctor/ in the bucket is written and deleted. Exit status 1 if there is a fault.
    """
    found: list[Finding] = []
    for each in _offline() if offline else _everything():
        found.append(each)
        if not as_json:  # at once: some take seconds
            mark = (f"{each.verdict.value:5}", _STYLES[each.verdict])
            console().print(Text.assemble(mark, printable(f"  {each.about}: {each.text}")), soft_wrap=True)
    if as_json:
        say_json([{"about": each.about, "verdict": each.verdict.value, "text": each.text} for each in found])
    if any(each.verdict is Verdict.FAULT for each in found):
        raise typer.Exit(1)


def _offline() -> Iterator[Finding]:
    yield from preflight(os.environ)
    if Path(".env").is_file() and not os.environ.get("OUTPUT_URL"):
        text = "there is a file .env here, which s reads and smarttag does not: set -a; . ./.env; set +a"
        yield Finding("settings", Verdict.NOTE, text)


def _everything() -> Iterator[Finding]:
    yield serverless_devs()
    settings_are_right = True
    for each in _offline():
        settings_are_right &= each.about != "settings" or each.verdict is not Verdict.FAULT
        yield each
    if settings_are_right:
        relay = Relay(Settings.from_env(os.environ))
        relay.begin(os.environ, None)
        logs.set_up("CRITICAL", sys.stderr)  # what is wrong is told here
        yield from examine(relay, os.environ)
