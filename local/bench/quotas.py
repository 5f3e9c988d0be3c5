"""``python -m local.bench.quotas --jobs 1000000``: what so many jobs a day need, what they cost, and what binds first.

The figures of one job are options, whose defaults are those of docs/performance.md. What happens over the limit of MPS
is simulated: many instances query under one limit, with the retries and intervals of the code, in virtual time.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf

from shared.outbox.schedule import next_due
from shared.outbox.task import FIRST, Task, TaskKind

DAY = 86_400
MPS_PER_SECOND = 100  # QuerySmarttagJob, of an account with all its users and callers
OSS_PER_SECOND = 2_000  # keys in sequence; 10,000 where their prefixes are spread
# Function Compute: CU for a vCPU second, a GB second of memory, a GB second of disk and an invocation; USD for a CU.
CU_CPU, CU_MEMORY, CU_DISK, CU_CALL, CU_PRICE = 1.0, 0.15, 0.05, 75 / 10_000, 0.000020
ATTEMPTS, BACKOFF, SECONDS = 6, 0.3, 40.0  # of one query: shared/mps/client.py, Relay.query_seconds


@dataclass(frozen=True)
class Load:
    """What comes, and what one job takes.

    Attributes:
        jobs: a day.
        peak: the busiest second over the average one.
        notifications: messages of one job; each is an invocation.
        queries: of MPS for one job.
        store_calls: of one job.
        cpu_seconds: of one job, all its invocations together.
        waiting_seconds: for MPS, OSS and receivers, likewise.
        cpu: of the function, in vCPU.
        memory: of the function, in GB.
        disk: of the function, in GB.
        instances: how many may run at once.
    """

    jobs: int
    peak: float
    notifications: int
    queries: float
    store_calls: int
    cpu_seconds: float
    waiting_seconds: float
    cpu: float
    memory: float
    disk: float
    instances: int

    @property
    def seconds(self) -> float:
        """How long the invocations of one job last together."""
        return self.cpu_seconds / self.cpu + self.waiting_seconds

    @property
    def peak_rate(self) -> float:
        """Jobs of the busiest second."""
        return self.jobs / DAY * self.peak

    def cost(self) -> float:
        """Return USD a day for Function Compute; the sweep of each minute is 1,440 of its invocations."""
        seconds = self.seconds * self.cpu * CU_CPU + self.seconds * (self.memory * CU_MEMORY + self.disk * CU_DISK)
        return (self.jobs * (seconds + self.notifications * CU_CALL) + 1_440 * CU_CALL) * CU_PRICE

    def used(self) -> dict[str, tuple[float, float]]:
        """Return of each quota what the busiest second takes, and the quota."""
        return {
            "queries of MPS a second": (self.peak_rate * self.queries, MPS_PER_SECOND),
            "requests to OSS a second": (self.peak_rate * self.store_calls, OSS_PER_SECOND),
            "instances at once": (self.peak_rate * self.seconds, self.instances),
        }


@dataclass(frozen=True)
class Simulated:
    """What became of a burst: ``refused`` requests were throttled, ``sweeps`` publications left to a later sweep."""

    published: int
    lost: int
    refused: int
    sweeps: int
    seconds: float


def simulate(rate: float, seconds: int, limit: int = MPS_PER_SECOND, seed: int = 1) -> Simulated:
    """Let ``rate`` jobs a second come for so many seconds, each in an instance of its own, under one limit of MPS."""
    luck = random.Random(seed)
    jobs = round(rate * seconds)
    # When a request is made; the job, its attempt in the outbox, its attempt in this query, and when that has to end.
    events = [(at, job, 1, 1, at + SECONDS) for job, at in enumerate(luck.uniform(0, seconds) for _ in range(jobs))]
    heapify(events)
    taken: deque[float] = deque([-inf] * limit, limit)
    published: list[float] = []
    refused = sweeps = lost = 0
    while events:
        now, job, attempt, tries, end = heappop(events)
        if now - taken[0] >= 1:
            taken.append(now)
            published.append(now)
            continue
        refused += 1
        again = now + luck.random() * BACKOFF * 2 ** (tries - 1)
        if tries < ATTEMPTS and again < end:
            heappush(events, (again, job, attempt, tries + 1, end))
            continue
        task = Task(TaskKind.PUBLISH, str(job), "Success", "", FIRST, enqueued_at=0, due=0, attempt=attempt)
        due = next_due(task, round(now * 1000), None, luck)
        if due is None:
            lost += 1
            continue
        sweeps += 1
        at = (due // 60_000 + 1) * 60 + luck.uniform(0, 30)  # the sweep of that minute takes its tasks in turn
        heappush(events, (at, job, attempt + 1, 1, at + SECONDS))
    return Simulated(len(published), lost, refused, sweeps, max(published, default=0.0))


def lines(load: Load, burst: int) -> Iterator[str]:
    """Yield the table."""
    yield f"{load.jobs:,} jobs a day, {load.peak_rate:,.1f} in the busiest second"
    yield f"  invocations a day   {load.jobs * load.notifications + 1_440:>14,}"
    yield f"  requests to OSS     {load.jobs * load.store_calls + 1_440:>14,}"
    yield f"  queries of MPS      {load.jobs * load.queries:>14,.0f}"
    yield f"  GB-seconds          {load.jobs * load.seconds * load.memory:>14,.0f}"
    yield f"  vCPU-seconds        {load.jobs * load.seconds * load.cpu:>14,.0f}"
    yield f"  Function Compute    {load.cost():>14,.2f} USD a day"
    used = load.used()
    first = max(used, key=lambda name: used[name][0] / used[name][1])
    for name, (rate, quota) in used.items():
        mark = "  <- binds first" if name == first else ""
        yield f"  {name:<26}{rate:>9,.1f} of {quota:,} ({rate / quota:.0%}){mark}"
    yield f"  that one is full at {load.jobs * used[first][1] / used[first][0]:,.0f} jobs a day"
    rate = load.peak_rate * load.queries
    for factor in sorted({rate, 0.8 * MPS_PER_SECOND, 1.5 * MPS_PER_SECOND, 3.0 * MPS_PER_SECOND}):
        seen = simulate(factor, burst)
        yield (
            f"  simulated, {factor:,.0f} queries a second for {burst} s: {seen.published:,} published, "
            f"{seen.lost} lost, {seen.refused:,} throttled, {seen.sweeps:,} left to a sweep, "
            f"the last after {seen.seconds:,.0f} s"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m local.bench.quotas", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000, help="a day")
    parser.add_argument("--peak", type=float, default=4.0, help="the busiest second over the average one")
    parser.add_argument("--notifications", type=int, default=2, help="messages of one job: processing, then done")
    parser.add_argument("--queries", type=float, default=2.0, help="of MPS, one job")
    parser.add_argument("--store-calls", type=int, default=28, help="one job with one subscriber, both notifications")
    parser.add_argument("--cpu-seconds", type=float, default=0.25, help="one job, all its invocations, warm")
    parser.add_argument("--waiting-seconds", type=float, default=0.6, help="for services and receivers, likewise")
    parser.add_argument("--cpu", type=float, default=0.5, help="vCPU of the function (template.yml)")
    parser.add_argument("--memory", type=float, default=1.5, help="GB of the function (template.yml)")
    parser.add_argument("--disk", type=float, default=0.5, help="GB of the function (template.yml)")
    parser.add_argument("--instances", type=int, default=300, help="how many may run at once: see your account")
    parser.add_argument("--burst", type=int, default=60, help="seconds of the bursts that are simulated")
    chosen = vars(parser.parse_args())
    burst = chosen.pop("burst")
    print(*lines(Load(**chosen), burst), sep="\n")


if __name__ == "__main__":
    main()
