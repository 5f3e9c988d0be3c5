"""``smarttag token``: tokens of the HTTP API."""

from __future__ import annotations

import enum
import re
from typing import Annotated

import typer

from local.cli.printing import say, say_json
from shared.http import tokens

app = typer.Typer(help="Tokens of the HTTP API.", no_args_is_help=True)


class Scope(str, enum.Enum):
    """What a token is good for."""

    read = "read"
    write = "write"
    push = "push"


@app.callback()
def group() -> None:
    """Tokens of the HTTP API."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Who will use it; appears in the access log.")],
    scope: Annotated[
        Scope, typer.Option(help="read; write, which includes read; or push, for the notifications path.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Make a token: printed once, here; the settings hold only its hash."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise typer.BadParameter("use 1 to 64 characters of A-Z, a-z, 0-9, _, . and -", param_hint="NAME")
    token, entry = tokens.mint(name, scope.value)
    path = f"/notifications/{token}" if scope is Scope.push else None
    if as_json:
        say_json({"name": name, "scope": scope.value, "token": token, "path": path, "setting": entry})
        return
    say(f"token:   {token}")
    say("         give it to its user now: it is stored nowhere, and cannot be shown again")
    if path:
        say(f"path:    {path}")
    say(f"setting: {entry}")
    say("         append it to API_TOKENS of the HTTP function, separated by a comma, and deploy")
