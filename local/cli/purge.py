"""``smarttag purge``: remove everything of a job."""

from __future__ import annotations

import os
from typing import Annotated
from uuid import uuid4

import orjson
import typer

from local.cli.printing import say
from shared.jobs import check_job_id
from shared.wiring import relay


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
    done = relay(os.environ).erase(job, request_id=uuid4().hex)
    say(orjson.dumps(done).decode() if as_json else f"job {job} {done['outcome']}; audit ID {done['auditId']}")
