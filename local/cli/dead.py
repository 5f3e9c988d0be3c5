"""``smarttag dead``: what was given up, looked at and sent again."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Column

from local.cli.environment import wired
from local.cli.printing import counted, progress, say, say_json, say_table, warn_if_empty
from local.cli.times import Since, Until, Utc, moment, shown, zone
from shared.outbox.dead_letters import Letter, Selection
from shared.outbox.records import iso
from shared.relay import Relay

app = typer.Typer(help="Deliveries, jobs and messages that were given up.", no_args_is_help=True)

_MANY = 50  # letters from which on each is not named when it is replayed

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="As shown by smarttag dead list.")]
Names = Annotated[list[str] | None, typer.Argument(help="As shown by smarttag dead list.")]
Subscriber = Annotated[str, typer.Option(metavar="ID", help="Of deliveries to this subscriber.")]
Job = Annotated[str, typer.Option(metavar="ID", help="About this job.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="With this in the reason, in upper or lower case.")]


@app.command("list")
def list_(
    subscriber: Subscriber = "",
    job: Job = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    utc: Utc = False,  # noqa: FBT002 - typer's way to a flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """List dead letters with their reasons. Settings come from the environment.

    Times are those when it was given up. One that cannot be read is listed with the reason, and as
    ``{"name", "unreadable"}`` in JSON; there times are in UTC.
    """
    at_hand = wired()
    letters = _selected(at_hand, _selection(subscriber, job, reason, since, until, utc=utc))
    if as_json:
        say_json([_told(each) for each in letters])
    elif not letters:
        say(
            "There are no dead letters."
            if not any((subscriber, job, reason, since, until))
            else "There are none of these."
        )
    else:
        rows = (
            (each.name, shown(each.facts.get("deadAt", ""), utc=utc), each.error or each.facts["reason"])
            for each in letters
        )
        columns = (Column("name", no_wrap=True), f"given up ({zone(utc=utc)})", "reason")
        say_table(columns, rows, counted(len(letters), "dead letter"))
    warn_if_empty(at_hand)


@app.command()
def show(name: Name, utc: Utc = False, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to a flag
    """Show one dead letter: every attempt and its reason, or the message as it came."""
    dead = wired().dead_letters
    facts: dict[str, Any] = {"name": name, **dead.show(name)}
    if facts["kind"] == "notification":
        facts["message"] = dead.raw(name).decode(errors="backslashreplace")
    if as_json:
        say_json(facts)
        return
    attempts = facts.pop("attempts", [])
    for what, value in facts.items():
        is_time = what in {"deadAt", "enqueuedAt"}
        say(f"{what}: {shown(value, utc=utc) + ' ' + zone(utc=utc) if is_time else value}")
    if attempts:
        fields = ("attempt", "status", "durationMs", "error", "excerpt")
        say_table(
            ("attempt", "at", "status", "ms", "error", "answer"),
            (
                [cells[0], shown(each.get("at") or "", utc=utc), *cells[1:]]
                for each in attempts
                if (cells := ["" if each.get(what) is None else each[what] for what in fields])
            ),
        )


@app.command()
def replay(  # noqa: PLR0913, PLR0917 - each is an option
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Replay all of them.")] = False,  # noqa: FBT002 - typer's way to a flag
    subscriber: Subscriber = "",
    job: Job = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    utc: Utc = False,  # noqa: FBT002 - typer's way to a flag
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Enqueue dead letters again: the next sweep sends them, with the same id and body as before.

    Name them, or say which by the options; both together narrow each other. One that cannot be replayed keeps none of
    the others back. Interrupted, it may be run again. A message of more events than one may hold is split.
    """
    selection = _selection(subscriber, job, reason, since, until, utc=utc)
    if every == bool(names or selection != Selection()):
        raise typer.BadParameter(
            "name dead letters, select them by --subscriber, --job, --reason or a time, or say --all"
        )
    at_hand = wired()
    letters = _selected(at_hand, selection, names)
    with progress("Replaying", len(letters)) as told:
        done = at_hand.dead_letters.replay_all(letters, at_hand.publisher.enqueue_event, told)
    failed = {each.name: each.error.message for each in done if each.error is not None}
    enqueued = [each.name for each in done if each.error is None]
    if as_json:
        say_json({"enqueued": enqueued, "failed": failed})
    elif len(done) >= _MANY:
        say(f"enqueued again: {len(enqueued):,} of {len(done):,}")
    else:
        for name in enqueued:
            say(f"enqueued again: {name}")
        if not done:
            say("There are none of these.")
    for name, why in failed.items():
        say(f"smarttag: {name}: {why}", error=True)
    if failed:
        raise typer.Exit(1)


def _selection(subscriber: str, job: str, reason: str, since: str, until: str, *, utc: bool) -> Selection:
    begin, end = (iso(moment(each, utc=utc)) if each else "" for each in (since, until))
    return Selection(subscriber, job, reason, begin, end)


def _selected(at_hand: Relay, selection: Selection, names: list[str] | None = None) -> list[Letter]:
    """Read the letters; each once, however often it is named."""
    dead = at_hand.dead_letters
    chosen = list(dict.fromkeys(names) if names else filter(selection.may_hold, dead.names()))
    with progress("Reading", len(chosen)) as told:
        return dead.read(selection, chosen, told)


def _told(letter: Letter) -> dict[str, Any]:
    return {"name": letter.name, **(letter.facts if letter.error is None else {"unreadable": letter.error.message})}
