"""``smarttag purge``: remove everything of a job."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import typer

from local.cli.environment import wired
from local.cli.printing import say, say_json
from shared.jobs import check_job_id


def purge(
    job: Annotated[str, typer.Argument(help="The job's ID.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,  # noqa: FBT002 - typer's way to a flag
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Remove everything of a job from OUTPUT_URL, for good. Settings come from the environment.

    Raises:
        ObjectNotFound: nothing of it was ever there.
    """
    check_job_id(job)
    if not yes:
        typer.confirm(f"Remove everything of job {job}?", abort=True, err=True)
    done = wired().erase(job, request_id=uuid4().hex)
    if as_json:
        say_json(done)
    else:
        say(f"job {job} {done['outcome'].value}; audit ID {done['auditId']}")
