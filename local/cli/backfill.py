"""``smarttag backfill``: publish thousands of past jobs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from local.backfill import DONE, Ids, Outcome, Pacer, Publish, Run, State, directly, failures, over_http, read_ids, run
from local.catalogue import all_rows
from local.cli.environment import as_deployed
from local.cli.files import write_below
from local.cli.printing import console, printable, say, say_json, say_table, warn_if_empty
from shared import logs
from shared.catalogue.filters import Filters
from shared.errors import BadInput
from shared.relay import relay

_SHOWN = 5  # failures that are shown as well as written down
_KEYS = {
    State.PUBLISHED: "published",
    State.BEFORE: "publishedBefore",
    State.UNFINISHED: "notFinished",
    State.ELSEWHERE: "begunElsewhere",
    State.FAILED: "failed",
}


def backfill(
    ids: Annotated[
        Path | None, typer.Argument(metavar="IDS.TXT", help="One job ID a line; what follows a # does not count.")
    ] = None,
    api: Annotated[
        str, typer.Option(metavar="URL", help="Have the HTTP API do it, with the token in SMARTTAG_TOKEN.")
    ] = "",
    from_catalogue: Annotated[  # noqa: FBT002 - typer's way to a flag
        bool, typer.Option("--from-catalogue", help="In place of a file: the jobs that the catalogue holds.")
    ] = False,
    since: Annotated[str, typer.Option(help="Of these, what was published from a date or time on.")] = "",
    rate: Annotated[
        float, typer.Option(min=0.1, max=80, help="Queries of MPS a second at most; it takes 100 of the whole account.")
    ] = 20,
    failed: Annotated[
        Path | None, typer.Option("--failures", help="Where to list what is not published; else IDS-failed.txt.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Publish past jobs, as if MPS had just notified of each: files are stored, subscribers are told.

    With --from-catalogue, jobs whose files were lost since are published anew.

    It may be interrupted, or killed, and begun again: what is published is passed over without asking MPS. Exit status
    1 unless every line is a job that is published. Settings come from the environment; without SUBSCRIBERS_URL nobody
    is told.
    """
    if (ids is None) != from_catalogue or (since and not from_catalogue):
        raise typer.BadParameter("name a file of job IDs, or say --from-catalogue, with or without --since")
    env = as_deployed(os.environ)
    if ids is None:
        given, ids = _catalogued(env, Filters.read({"since": since})), Path("catalogue.txt")
    else:
        given = read_ids(ids)
    into = failed or ids.with_name(f"{ids.stem}-failed.txt")
    if into.resolve() == ids.resolve():
        raise BadInput(f"--failures {into} is the file with the IDs; name another one")
    if into.name in {"", ".."} or into.is_dir():
        raise BadInput(f"--failures {into} is a folder; name a file")
    pacer = Pacer(rate)
    publish = over_http(api, env.get("SMARTTAG_TOKEN", ""), pacer) if api else directly(env, pacer)
    logs.set_up("CRITICAL", sys.stderr)  # what goes wrong with a job is told here
    for line in given.bad:
        say(f"smarttag: {ids}, line {line.number}: {line.text[:80]!a} is no job ID", error=True)
    done = _run_with_bar(given, publish)
    unpublished = failures(given.bad, done.outcomes)
    _write(into, [f"# {len(unpublished)} lines of {ids.name} that are not published", *unpublished])
    _report(given, done, into, as_json=as_json)
    if unpublished or done.stopped:
        raise typer.Exit(1)


def _catalogued(env: Mapping[str, str], filters: Filters) -> Ids:
    """Return the jobs of the catalogue, the oldest first."""
    at_hand = relay(env)
    found = [row.jobId for row in all_rows(at_hand.catalogue, filters)]
    if not found:
        warn_if_empty(at_hand)
    return Ids(tuple(dict.fromkeys(reversed(found))), (), 0)


def _run_with_bar(given: Ids, publish: Publish) -> Run:
    shown = console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        bar = progress.add_task("Publishing", total=len(given.job_ids))
        not_done: list[Outcome] = []

        def told(outcome: Outcome) -> None:
            if outcome.state not in DONE:
                not_done.append(outcome)
                progress.update(bar, description=f"{len(not_done)} not done")
            progress.advance(bar)

        return run(given.job_ids, publish, told)


def _write(into: Path, lines: list[str]) -> None:
    shown = [printable(line) for line in lines]
    try:
        write_below(into.parent, into.name, "".join(f"{line}\n" for line in shown).encode())
    except OSError as error:
        say(f"smarttag: {into}: {error.strerror}; this is what it was to hold:", error=True)
        for line in shown:
            say(line, error=True)


def _report(given: Ids, done: Run, into: Path, *, as_json: bool) -> None:
    counts = Counter(each.state for each in done.outcomes)
    left = len(given.job_ids) - len(done.outcomes)
    not_done = [each for each in done.outcomes if each.state not in DONE]
    if as_json:
        say_json(
            {
                **{_KEYS[state]: counts[state] for state in State},
                "notTried": left,
                "badLines": [{"line": each.number, "text": each.text} for each in given.bad],
                "stopped": done.stopped or None,
                "failures": [
                    {"jobId": each.job_id, "state": _KEYS[each.state], "reason": each.reason} for each in not_done
                ],
                "failuresFile": str(into),
            }
        )
        return
    rows: list[tuple[str, int]] = [(state.value, counts[state]) for state in State]
    rows += [("not tried", left), ("lines that hold no ID", len(given.bad)), ("lines that repeat one", given.repeated)]
    say_table(("outcome", Column("jobs", justify="right")), [row for row in rows if row[1]], str(into.name))
    for each in not_done[:_SHOWN]:
        say(f"smarttag: {each.job_id}: {each.reason}", error=True)
    if not_done or given.bad:
        say(f"All that is not published is listed in {into}, which is a file of IDs itself.")
    if done.stopped:
        say(f"Stopped: {done.stopped}. The same command goes on where this ended.", error=True)
