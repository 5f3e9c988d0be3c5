"""``smarttag rebuild``: make the artifacts of published jobs anew from their responses, after a better version."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress

from local.cli.printing import console, say, say_json, warn_if_empty
from local.responses import fault
from shared.errors import BadResponse, BadSettings, ObjectNotFound, RelayError
from shared.jobs import ARTIFACTS, JOB_ID_RULE, MANIFEST, RESPONSE, artifact_key, is_job_id
from shared.outbox.partitions import side_by_side
from shared.publishing.artifacts import store_artifacts
from shared.relay import relay
from shared.storage import ObjectStore

_THREADS = 4  # the largest of responses takes hundreds of megabytes while it is decoded


class State(str, Enum):
    """What became of one job."""

    REBUILT = "rebuilt"
    UNCHANGED = "unchanged"  # its artifacts are those that this version makes
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job, and why if it failed."""

    job_id: str
    state: State
    reason: str = ""
    announced: bool = False  # everybody is to be told of it


def published(store: ObjectStore) -> Iterator[str]:
    """Yield the IDs of all published jobs: those with a manifest, which is written last."""
    for key in store.list("jobs/"):
        job_id, _, name = key.removeprefix("jobs/").partition("/")
        if name == MANIFEST and is_job_id(job_id):
            yield job_id


def rebuild_all(
    store: ObjectStore,
    job_ids: Iterable[str],
    *,
    force: bool = False,
    announce: Callable[[str], bool] = lambda _job_id: False,
    ended: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Rebuild jobs side by side; one that fails stops no other.

    It may be interrupted and begun again: the manifest is written last, and what stands as this version makes it is
    left alone unless that is wanted by ``force``.

    Args:
        store: where they lie.
        job_ids: which.
        force: write also what stands.
        announce: has everybody told of a job whose files stand, and says whether there was anything to tell; it is
            asked of unchanged ones too, whose rebuild may have been interrupted before it came to that.
        ended: called after each.

    Returns:
        An outcome for each, in the order in which they ended.
    """

    def work(job_id: str) -> Outcome:
        outcome = _rebuild(store, job_id, announce, force=force)
        ended()
        return outcome

    return side_by_side(((job_id, job_id) for job_id in dict.fromkeys(job_ids)), work, threads=_THREADS)


def _rebuild(store: ObjectStore, job_id: str, announce: Callable[[str], bool], *, force: bool) -> Outcome:
    try:
        before = _manifest(store, job_id)
        while not _made(store, job_id, force=force):
            pass
        state = State.UNCHANGED if before == _manifest(store, job_id) and not force else State.REBUILT
        return Outcome(job_id, state, announced=announce(job_id))
    except BadResponse as error:
        return Outcome(job_id, State.FAILED, fault(error, RESPONSE))
    except RelayError as error:
        return Outcome(job_id, State.FAILED, error.message)


def _made(store: ObjectStore, job_id: str, *, force: bool) -> bool:
    """Make the artifacts; False if a better response came meanwhile, whose own may have been written over."""
    from shared.smarttag import analyse

    where = artifact_key(job_id, RESPONSE)
    found = store.head(where)
    response = store.get(where)
    stored = store_artifacts(store, response, analyse(response, job_id), anew=force)
    for stale in ARTIFACTS.keys() - set(stored.names):  # an older version made it, this one does not
        store.delete(artifact_key(job_id, stale))
    now = store.head(where)
    return (found and found.etag) == (now and now.etag)


def _manifest(store: ObjectStore, job_id: str) -> bytes:
    try:
        return store.get(artifact_key(job_id, MANIFEST))
    except ObjectNotFound:
        return b""


def rebuild(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="IDs of published jobs.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Rebuild every published job.")] = False,  # noqa: FBT002 - typer's way to a flag
    force: Annotated[  # noqa: FBT002 - as above
        bool, typer.Option("--force", help="Write files even where the manifest is as it should be.")
    ] = False,
    announce: Annotated[  # noqa: FBT002 - as above
        bool, typer.Option("--announce", help="Have the next sweep tell subscribers of what they were not told yet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - as above
) -> None:
    """Make summary, report, captions and timeline of published jobs anew from the responses stored with them.

    For after an update: deploy first. Subscribers are told only with --announce, each once, however often it is run:
    an event of the next revision. Settings come from the environment.
    """
    if every == bool(jobs):
        raise typer.BadParameter("name jobs, or say --all")
    wrong = [job_id for job_id in jobs or () if not is_job_id(job_id)]
    if wrong:
        raise typer.BadParameter(f"{', '.join(ascii(each[:80]) for each in wrong)}: a job ID is {JOB_ID_RULE}")
    at_hand = relay(os.environ)
    if announce and at_hand.settings.subscribers is None:
        raise BadSettings("there is nobody to tell: set SUBSCRIBERS_URL", settings=["SUBSCRIBERS_URL"])
    store, options = at_hand.store, {"announce": at_hand.announce_rebuilt} if announce else {}
    chosen = list(published(store)) if every else list(jobs or ())
    shown = console(error=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), *Progress.get_default_columns()[3:])
    with Progress(*columns, console=shown, disable=len(chosen) < 2 or not shown.is_terminal) as progress:  # noqa: PLR2004 - one needs no bar
        bar = progress.add_task("Rebuilding", total=len(dict.fromkeys(chosen)))
        outcomes = rebuild_all(store, chosen, force=force, ended=lambda: progress.advance(bar), **options)
    _report(sorted(outcomes, key=lambda each: each.job_id), announced=announce, as_json=as_json)
    if not chosen:
        warn_if_empty(at_hand)


def _report(outcomes: list[Outcome], *, announced: bool, as_json: bool) -> None:
    by_state = {state: [each for each in outcomes if each.state is state] for state in State}
    failed, announce = by_state[State.FAILED], [each.job_id for each in outcomes if each.announced]
    if as_json:
        told: dict[str, object] = {state.value: [each.job_id for each in found] for state, found in by_state.items()}
        more = {"announced": announce} if announced else {}
        say_json(told | {"failed": {each.job_id: each.reason for each in failed}} | more)
    else:
        then = f"; the next sweep tells subscribers of {len(announce)}" if announced else ""
        say(", ".join(f"{len(found)} {state.value}" for state, found in by_state.items()) + then)
    for each in failed:
        say(f"smarttag: {each.job_id}: {each.reason}", error=True)
    if failed:
        raise typer.Exit(1)
