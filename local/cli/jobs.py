"""``smarttag jobs``: published jobs, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer
from rich.table import Column

from local.catalogue import all_rows
from local.cli.environment import wired
from local.cli.printing import counted, say, say_json, say_table, warn_if_empty
from shared.catalogue.filters import Filters
from shared.catalogue.row import Row

_NAMES = 3  # of persons in one cell


def jobs(  # noqa: PLR0913, PLR0917 - the filters of GET /jobs
    person: Annotated[str, typer.Option(help="The whole name of a person who was seen.")] = "",
    tag: Annotated[str, typer.Option(help="The whole name of a visual tag.")] = "",
    text: Annotated[str, typer.Option(help="Any part of any text: title, names, keywords, words on screen.")] = "",
    user_data: Annotated[str, typer.Option(help="What the user data begins with.")] = "",
    status: Annotated[str, typer.Option(help="Success or Fail.")] = "",
    alert: Annotated[str, typer.Option(help="sensitive-person, politician, or any.")] = "",
    since: Annotated[str, typer.Option(help="A date, from its beginning, UTC, or a time.")] = "",
    until: Annotated[str, typer.Option(help="A date, to its end, UTC, or a time before which.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """List published jobs, newest first; all filters must hold. Settings come from the environment."""
    given = {"person": person, "tag": tag, "text": text, "userData": user_data, "status": status, "alert": alert}
    filters = Filters.read({**given, "since": since, "until": until})
    at_hand = wired()
    found = list(islice(all_rows(at_hand.catalogue, filters, limit), limit))
    if as_json:
        say_json([row.to_json() for row in found])
    elif not found:
        say("No published job is like that." if filters != Filters() else "No job has been published.")
    else:
        columns = (
            "published",
            Column("job", no_wrap=True),
            "status",
            "title or user data",
            "length",
            "people",
            "alerts",
        )
        say_table(columns, (list(_cells(row)) for row in found), counted(len(found), "job"))
        if len(found) == limit:
            say(f"There may be more: see --limit, or --until {found[-1].publishedAt}.")
    if not found:
        warn_if_empty(at_hand)


def _cells(row: Row) -> Iterator[str]:
    yield row.publishedAt[:19].replace("T", " ")
    yield row.jobId
    yield row.status
    yield (row.title or row.userData)[:60]
    yield "" if row.durationMs is None else f"{row.durationMs // 60_000}:{row.durationMs // 1000 % 60:02d}"
    named = [person.name for person in row.persons if person.category != "unknown"]
    yield "、".join(named[:_NAMES]) + ("…" if len(named) > _NAMES else "")
    yield str(len(row.alerts) or "")
