"""What must not grow: CPU per MB with the size of a result, a sweep with what waits, a query with the catalogue.

Everything is asked of fresh processes, so each figure has the start of one in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from local.bench import inputs
from local.bench.cold import JOB, Cloud, cloud
from local.bench.measuring import Line, Sample, Way, cpu, interleaved, ours, ratio
from local.bench.target import Target
from local.cloud.oss import BUCKET
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.sealing import Sealing
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.task import FIRST, Task, TaskKind
from shared.smarttag import summarise
from shared.storage.directory import DirectoryStore

SMALL, LARGE = 1, 50  # MB
DUE, FEW, MANY = 10, 100, 100_000  # tasks
DAYS, A_DAY = 60, 200  # of catalogue, jobs of one
_DAY = 86_400


def measure(target: Target, folder: Path, rounds: int, scale: float) -> Iterator[Line]:
    """Yield the lines; what is stored lies below ``folder``, ``scale`` times as much as real."""
    yield _per_megabyte(target, folder, rounds, scale)
    jobs = {f"{number:032x}": JOB.response for number in range((rounds + 1) * DUE)}
    with ExitStack() as stack:
        few, many = (stack.enter_context(cloud(target, folder / name, jobs)) for name in ("few", "many"))
        _fill(_store(folder / "few"), FEW, 1)
        _fill(_store(folder / "many"), int(MANY * scale), max(int(DAYS * scale), 1))
        ways: dict[str, Way] = {
            "few": partial(_sweep, few, folder / "few", iter(jobs)),
            "many": partial(_sweep, many, folder / "many", iter(jobs)),
        }
        samples = interleaved(ways, rounds)
        what = f"a sweep with {DUE} tasks due among {MANY * scale:,.0f} waiting / among {FEW}"
        yield cpu("sweep-waiting", what, samples["many"], samples["few"], str(target))
        newest = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - _DAY))
        ways = {name: partial(each.get, "/jobs", {"since": newest}) for name, each in (("few", few), ("many", many))}
        samples = interleaved(ways, rounds)
        what = f"cold GET /jobs of one day with {DAYS * scale:,.0f} days stored / with one"
        yield cpu("query-days", what, samples["many"], samples["few"], str(target))


def _per_megabyte(target: Target, folder: Path, rounds: int, scale: float) -> Line:
    folder.mkdir(parents=True, exist_ok=True)
    ways: dict[str, Way] = {}
    sizes: dict[str, float] = {}
    for name, megabytes in (("small", SMALL), ("large", LARGE * scale)):
        response = inputs.envelope({"VideoLabel": inputs.video(megabytes)})
        (folder / name).write_bytes(response)
        ways[name], sizes[name] = partial(ours, target, "summarise", str(folder / name)), len(response) / 1e6
    samples = interleaved(ways, rounds)
    small, large = ([each.seconds * 1000 / sizes[name] for each in samples[name]] for name in ("small", "large"))
    what = f"summarise, per MB: VideoLabel of {LARGE * scale:g} MB / of {SMALL} MB"
    return ratio("cpu-per-mb", what, large, small, "ms", str(target))


def _store(folder: Path) -> DirectoryStore:
    return DirectoryStore(folder / BUCKET / "out-0")


def _fill(store: DirectoryStore, waiting: int, days: int) -> None:
    now, queue = time.time(), BucketQueue(store)
    for number in range(waiting):
        queue.add(_task(f"waiting-{number}", int(now * 1000) + 3_600_000))
    fill_catalogue(store, days)


def fill_catalogue(store: DirectoryStore, days: int) -> None:
    """Enter some jobs of each of the days before today, and seal them."""
    summary, now = summarise(JOB.response), time.time()
    for number in range(days * A_DAY):
        at, job_id = now - (1 + number // A_DAY) * _DAY - number % A_DAY, f"past-{number}"
        Catalogue(store, partial(float, at)).add(job_id, replace(summary, jobId=job_id).to_json(), [])
    Sealing(store, time.time).run(600)


def _task(job_id: str, due: int) -> Task:
    enqueued_at = int(time.time() * 1000)
    return Task(TaskKind.PUBLISH, job_id, "Success", "", FIRST, enqueued_at=enqueued_at, due=due, attempt=2)


def _sweep(started: Cloud, folder: Path, jobs: Iterator[str]) -> Sample:
    """Enqueue a few tasks that are due, and sweep."""
    queue, ended = BucketQueue(_store(folder)), [next(jobs) for _ in range(DUE)]
    for job_id in ended:
        queue.add(_task(job_id, int(time.time() * 1000) - 1))
    sample = started.sweep()
    if not all(_store(folder).head(f"jobs/{job_id}/manifest.json") for job_id in ended):
        raise SystemExit(f"a sweep published not all of {ended}; load {os.getloadavg()[0]:.1f}")
    return sample
