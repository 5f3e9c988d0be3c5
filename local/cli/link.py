"""``smarttag link``: an address under which anybody can read one job's report for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from local.cli.environment import wired
from local.cli.printing import say
from shared.errors import BadSettings
from shared.jobs import MANIFEST, check_job_id
from shared.links import Links

_DAY = 86400


def link(
    job: Annotated[str, typer.Argument(help="The job's ID.")],
    days: Annotated[int | None, typer.Option(min=1, max=90, help="How long it works; LINK_DAYS if left out.")] = None,
) -> None:
    """Print a link to a published job's report. Settings come from the environment.

    Raises:
        BadSettings: links are off.
        ObjectNotFound: the job has not been published.
    """
    opened = wired()
    links = Links.of(opened.settings)
    if links is None:
        raise BadSettings("links are off: set PUBLIC_URL and LINK_KEYS", settings=["PUBLIC_URL", "LINK_KEYS"])
    opened.stored(check_job_id(job), MANIFEST)
    say(links.make(job, None if days is None else days * _DAY).url)
