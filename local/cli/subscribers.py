"""``smarttag subscribers``: is subscribers.json right, how are those in it, do they answer, and bring one back."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column

from local.cli.printing import counted, say, say_json, say_table
from shared.errors import BadInput, SubscribersBroken
from shared.relay import relay
from shared.webhooks.operations import Condition

app = typer.Typer(help="Who is told: check, list, test, resume.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As subscribers.json says.")]


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="A file, or oss://bucket/key.")],
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Check subscribers.json before it is put in place: names every mistake of every subscriber; exit status 1 if any.

    SUBSCRIBER_... variables and WEBHOOK_ALLOW_CIDRS are taken from the environment, where they must be as they are in
    the functions.
    """
    url = source
    if not source.startswith(("oss://", "file://")):
        if not Path(source).is_file():
            raise BadInput(f"{source}: no such file")
        url = Path(source).absolute().as_uri()
    output = os.environ.get("OUTPUT_URL") or "file:///"  # not used, but settings without it are refused
    try:
        found = relay({**os.environ, "OUTPUT_URL": output, "SUBSCRIBERS_URL": url}).subscribers()
    except SubscribersBroken as error:
        raise BadInput(error.message.replace("SUBSCRIBERS_URL", source, 1)) from None
    if as_json:
        faults = {each.id: each.reason for each in found.broken}
        say_json([{"subscriber": name, "faults": faults.get(name)} for name in sorted(found.by_id)])
    else:
        for each in found.broken:
            say(f"{each.id}: {each.reason}")
        say(f"{len(found.good)} of {len(found.by_id)} subscribers are in order")
    if found.broken:
        raise typer.Exit(1)


@app.command("list")
def list_(as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """List the subscribers: how they are, since when, the last error, what waits and what was given up."""
    conditions = relay(os.environ).conditions()
    if as_json:
        say_json([asdict(each) for each in conditions])
    elif not conditions:
        say("There are no subscribers.")
    else:
        say_table(
            (Column("subscriber", no_wrap=True), "health", "since", "waiting", "dead", "last error"),
            (
                (each.subscriber, each.health.value, _since(each), each.waiting, each.dead, each.last_error or "")
                for each in conditions
            ),
            counted(len(conditions), "subscriber"),
        )


def _since(condition: Condition) -> str:
    return (condition.since or "")[:19].replace("T", " ")


@app.command("test")
def send_test(subscriber_id: Id, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Send a signed smarttag.test event now and show the answer; exit status 1 unless it was 2xx. Nothing is kept."""
    attempt = relay(os.environ).test_subscriber(subscriber_id)
    if as_json:
        say_json(asdict(attempt))
    else:
        answer = attempt.error or f"answered {attempt.status}"
        say(f"{subscriber_id}: {attempt.kind}, {answer}, {attempt.duration_ms} ms")
        if attempt.excerpt:
            say(f"it says: {attempt.excerpt}")
    if attempt.kind != "delivered":
        raise typer.Exit(1)


@app.command()
def resume(subscriber_id: Id, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Bring back a subscriber that a 410 switched off, and enqueue again what it missed since.

    That is what its dead letters say was not sent because of the 410; the next sweep sends it, with the ids and bodies
    of old. Dead letters with another reason stay: smarttag dead replay.
    """
    replayed = relay(os.environ).resume_subscriber(subscriber_id)
    if as_json:
        say_json({"subscriber": subscriber_id, "enqueued": replayed})
        return
    for name in replayed:
        say(f"enqueued again: {name}")
    say(f"{subscriber_id} is told again; {len(replayed)} deliveries go out with the next sweep")
