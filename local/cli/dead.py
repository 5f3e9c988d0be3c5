"""``smarttag dead``: what was given up, looked at and sent again."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from shared.errors import BadInput, PermanentError
from shared.outbox.dead_letters import DeadLetters
from shared.triggers import Poison, parse
from shared.wiring import relay

app = typer.Typer(help="Deliveries, jobs and messages that were given up.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="As shown by smarttag dead list.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """List all dead letters with their reasons. Settings come from the environment."""
    dead = _dead()
    letters = [{"name": name, **dead.show(name)} for name in dead.names()]
    if as_json:
        print(json.dumps(letters))
        return
    table = Table(Column("name", no_wrap=True), "since", "reason", title=f"{len(letters)} dead letters")
    for letter in letters:
        table.add_row(_escape(letter["name"]), letter["deadAt"][:19].replace("T", " "), _escape(letter["reason"]))
    console = Console()
    # Names are there to be typed again: a narrow terminal may break the lines, but no name is cut short.
    console.width = max(console.width, 60 + max((len(letter["name"]) for letter in letters), default=0))
    console.print(table if letters else "There are no dead letters.")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Show one dead letter: every attempt and its reason, or the message as it came."""
    dead = _dead()
    facts: dict[str, Any] = {"name": name, **dead.show(name)}
    if facts["kind"] == "notification":
        facts["message"] = dead.raw(name).decode(errors="backslashreplace")
    if as_json:
        print(json.dumps(facts))
        return
    console = Console()
    attempts = facts.pop("attempts", [])
    for what, value in facts.items():
        console.print(f"{what}: {_printable(str(value))}", markup=False)
    if attempts:
        table = Table("attempt", "at", "status", "ms", "error", "answer")
        for each in attempts:
            fields = ("attempt", "at", "status", "durationMs", "error", "excerpt")
            table.add_row(*(_escape(str(each[what])) if each.get(what) is not None else "" for what in fields))
        console.print(table)


@app.command()
def replay(
    names: Annotated[list[str] | None, typer.Argument(help="As shown by smarttag dead list.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Replay all of them.")] = False,  # noqa: FBT002 - typer's way to a flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Enqueue dead letters again: the next sweep sends them, with the same id and body as before."""
    if every == bool(names):
        raise typer.BadParameter("name dead letters, or say --all")
    dead = _dead()
    chosen = list(dead.names()) if every else names or []
    failed: dict[str, PermanentError] = {}  # one that cannot be replayed must not keep back those after it
    for name in chosen:
        try:
            dead.replay(name, _again)
        except PermanentError as error:
            failed[name] = error
            continue
        if not as_json:
            print(f"enqueued again: {name}")
    if as_json:
        print(json.dumps({"enqueued": [name for name in chosen if name not in failed]}))
    for name, reason in failed.items():
        print(f"smarttag: {name}: {reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _again(raw: bytes) -> None:
    """Read a message anew; enqueue the jobs it is about."""
    messages = parse(raw)
    for message in messages:
        if isinstance(message, Poison):
            raise BadInput(f"the message is still not understood ({message.reason}); correct its sender")
    at_hand = relay(os.environ)
    for message in messages:
        if (task := at_hand.publisher.task_for(message, "replay")) is not None:
            at_hand.outbox.enqueue(task)


def _dead() -> DeadLetters:
    return relay(os.environ).dead_letters


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(_printable(text))


def _printable(text: str) -> str:
    """Show control characters as such, so that nobody else's text commands the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)
