"""``smarttag dead``: what was given up, looked at and sent again."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.table import Column

from local.cli.printing import say, say_json, say_table
from shared.errors import PermanentError
from shared.outbox.dead_letters import DeadLetters
from shared.wiring import relay

app = typer.Typer(help="Deliveries, jobs and messages that were given up.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="As shown by smarttag dead list.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """List all dead letters with their reasons. Settings come from the environment.

    One that cannot be read is listed with the reason, and as ``{"name", "unreadable"}`` in JSON.
    """
    dead = _dead()
    letters = [_letter(dead, name) for name in dead.names()]
    if as_json:
        say_json(letters)
    elif not letters:
        say("There are no dead letters.")
    else:
        say_table(
            (Column("name", no_wrap=True), "since", "reason"),
            (
                (each["name"], each.get("deadAt", "")[:19].replace("T", " "), each.get("reason") or each["unreadable"])
                for each in letters
            ),
            f"{len(letters)} dead letters",
        )


def _letter(dead: DeadLetters, name: str) -> dict[str, Any]:
    try:
        return {"name": name, **dead.show(name)}
    except PermanentError as error:  # it must not hide the others
        return {"name": name, "unreadable": error.message}


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Show one dead letter: every attempt and its reason, or the message as it came."""
    dead = _dead()
    facts: dict[str, Any] = {"name": name, **dead.show(name)}
    if facts["kind"] == "notification":
        facts["message"] = dead.raw(name).decode(errors="backslashreplace")
    if as_json:
        say_json(facts)
        return
    attempts = facts.pop("attempts", [])
    for what, value in facts.items():
        say(f"{what}: {value}")
    if attempts:
        fields = ("attempt", "at", "status", "durationMs", "error", "excerpt")
        say_table(
            ("attempt", "at", "status", "ms", "error", "answer"),
            (["" if each.get(what) is None else each[what] for what in fields] for each in attempts),
        )


@app.command()
def replay(
    names: Annotated[list[str] | None, typer.Argument(help="As shown by smarttag dead list.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Replay all of them.")] = False,  # noqa: FBT002 - typer's way to a flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Enqueue dead letters again: the next sweep sends them, with the same id and body as before."""
    if every == bool(names):
        raise typer.BadParameter("name dead letters, or say --all")
    at_hand = relay(os.environ)
    chosen = list(at_hand.dead_letters.names()) if every else names or []
    failed: dict[str, PermanentError] = {}  # one that cannot be replayed must not keep back those after it
    for name in chosen:
        try:
            at_hand.replay(name)
        except PermanentError as error:
            failed[name] = error
            continue
        if not as_json:
            say(f"enqueued again: {name}")
    if as_json:
        say_json({"enqueued": [name for name in chosen if name not in failed]})
    for name, reason in failed.items():
        say(f"smarttag: {name}: {reason}", error=True)
    if failed:
        raise typer.Exit(1)


def _dead() -> DeadLetters:
    return relay(os.environ).dead_letters
