"""``python -m local.bench.load``: many notifications through the local cloud, with as many instances as cores.

Each job is notified of twice, in any order, as topics do. Afterwards every job must have been told exactly once,
nothing may be dead, and nothing may be left to do. ``--growth`` prints what a job's CPU and calls grow with.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from local import recorded
from local.bench import inputs
from local.bench.measuring import SCRIPT
from local.bench.scaling import fill_catalogue
from local.bench.target import ROOT, NotMeasurable, Target, in_memory, package, tree
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Request, Response
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.task import FIRST, Task, TaskKind
from shared.storage.directory import DirectoryStore

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FUNCTION = {"timeout": 300}  # seconds, as in template.yml
CONTEXT = {"request_id": "bench", "region": REGION, "credentials": asdict(ROLE), "function": FUNCTION}
SWEEP = orjson.dumps({"triggerTime": "2026-01-01T00:00:00Z", "triggerName": "sweep", "payload": ""})
USUAL = ("documented", "asr", "ocr", "cpv", "nlp", "image", "rich")
_SEED = 5


@dataclass(frozen=True)
class Scenario:
    """What jobs meet. ``waiting``: tasks that are not due; ``days``: of catalogue."""

    name: str
    jobs: int
    responses: tuple[bytes, ...] = tuple(recorded.jobs()[name].response for name in USUAL)
    times: int = 2
    subscribers: int = 1
    waiting: int = 0
    days: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a run came to; ``outcomes`` are those of all notifications."""

    seconds: float
    cpu: float
    peak: int
    calls: int
    told: Counter[str]
    outcomes: Counter[str]
    dead: int
    left: int


class CountingOss(OssStandIn):
    """Counts requests in place of keeping them; reading subscribers.json is none."""

    calls = 0

    def answer(self, request: Request) -> Response:
        """Count and answer."""
        self.requests.clear()
        self.calls += not request.path.endswith("/subscribers.json")
        return super().answer(request)


@dataclass
class Instances:
    """Warm instances of the callback, each a process with one event in work."""

    target: Target
    environment: Mapping[str, str]
    outcomes: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    peak: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, events: list[bytes], instances: int) -> None:
        """Let so many instances work off the events; each ends with the last."""
        waiting = iter(events)
        crew = [threading.Thread(target=self._drive, args=(waiting,)) for _ in range(min(instances, len(events)))]
        for each in crew:
            each.start()
        for each in crew:
            each.join()

    def _drive(self, waiting: Iterator[bytes]) -> None:
        command = [self.target.python, str(SCRIPT), str(self.target.code), "drive", "functions.mns_callback"]
        command.append(orjson.dumps(CONTEXT).decode())
        channel, theirs = socket.socketpair()
        with (
            subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), env=dict(self.environment)),
            channel,
            theirs,
        ):
            theirs.close()
            answers = channel.makefile("rb")
            while event := self._next(waiting):
                channel.sendall(event + b"\n")
                line = next(line for line in answers if line.startswith(b"answered "))
                with self._lock:
                    results = orjson.loads(line.removeprefix(b"answered "))["results"]
                    self.outcomes.update(result["outcome"] for result in results)
            channel.shutdown(socket.SHUT_WR)
            took = orjson.loads(answers.read().splitlines()[-1])
        with self._lock:
            self.cpu += took["seconds"]
            self.peak = max(self.peak, took["peak"])

    def _next(self, waiting: Iterator[bytes]) -> bytes | None:
        with self._lock:
            return next(waiting, None)


def run(target: Target, scenario: Scenario, instances: int) -> Outcome:
    """Play a scenario; the instances are gone when it returns."""
    jobs = {f"{number:032x}": scenario.responses[number % len(scenario.responses)] for number in range(scenario.jobs)}
    with TemporaryDirectory(dir=in_memory()) as name, ExitStack() as stack:
        oss, mps, receiver = CountingOss(Path(name)), MpsStandIn(jobs), Receiver(SECRET)
        for service in (oss, mps, receiver):
            stack.enter_context(service)
        bucket = DirectoryStore(Path(name) / BUCKET)
        ids = range(scenario.subscribers)
        listed = [{"id": f"s{each}", "url": f"{receiver.url}/{each}", "secrets": [SECRET]} for each in ids]
        bucket.put("subscribers.json", orjson.dumps({"version": 1, "subscribers": listed}))
        output = DirectoryStore(Path(name) / BUCKET / "out")
        _prepare(scenario, output)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LC_ALL": "C.UTF-8",
            "LOG_LEVEL": "ERROR",
            "MPS_ENDPOINT": mps.url,
            "OSS_ENDPOINT": oss.url,
            "OUTPUT_URL": f"oss://{BUCKET}/out",
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/subscribers.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        crew, began = Instances(target, environment), time.monotonic()
        crew.handle(_events(jobs, scenario.times), instances)
        seconds, cpu, peak, calls = time.monotonic() - began, crew.cpu, crew.peak, oss.calls
        outcomes = crew.outcomes.copy()
        crew.handle([SWEEP], 1)
        # A duplicate may write down a task again that has ended meanwhile; a later sweep removes it.
        left = sum(output.head(task.receipt_key) is None for task in BucketQueue(output).waiting()) - scenario.waiting
        dead = sum(1 for _ in bucket.list("out/dead/"))
        told = Counter(f"{each.path} {orjson.loads(each.body)['data']['jobId']}" for each in receiver.deliveries)
        return Outcome(seconds, cpu, peak, calls, told, outcomes, dead, left)


def _events(jobs: Mapping[str, bytes], times: int) -> list[bytes]:
    notified = [job_id for job_id in jobs for _ in range(times)]
    random.Random(_SEED).shuffle(notified)
    fields = {"Type": "smarttag", "State": "Success", "UserData": ""}
    return [orjson.dumps({**fields, "JobId": job_id}) for job_id in notified]


def _prepare(scenario: Scenario, store: DirectoryStore) -> None:
    queue, now = BucketQueue(store), int(time.time() * 1000)
    for number in range(scenario.waiting):
        job = f"waiting{number}"
        task = Task(TaskKind.DELIVERY, job, "succeeded", "elsewhere", FIRST, enqueued_at=now, due=now, attempt=2)
        queue.add(replace(task, due=now + 80 * 3_600_000))
    fill_catalogue(store, scenario.days)


def _target(build: Path) -> Target:
    try:
        return package(build / "package", build / "bench")
    except NotMeasurable as error:
        print(f"The working tree is measured, not the package: {error}.", file=sys.stderr)
        return tree()


def _growth(jobs: int) -> Iterator[Scenario]:
    yield Scenario("usual jobs", jobs)
    yield Scenario("notified of once", jobs, times=1)
    yield Scenario("five subscribers", jobs, subscribers=5)
    yield Scenario("10,000 tasks waiting", jobs, waiting=10_000)
    yield Scenario("60 days of catalogue", jobs, days=60)
    for megabytes in (1, 5, 20):
        response = inputs.envelope({"VideoLabel": inputs.video(megabytes)})
        yield Scenario(f"{megabytes} MB of VideoLabel", max(jobs // 20 // megabytes, 2), (response,))


def main() -> int:
    """Run, print, and return 1 if anything was lost, doubled, dead or left."""
    parser = argparse.ArgumentParser(prog="python -m local.bench.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--notifications", type=int, default=20_000, help="two for each job")
    parser.add_argument("--instances", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where package/ lies")
    parser.add_argument("--growth", action="store_true", help="small runs that show what a job's cost grows with")
    chosen = parser.parse_args()
    target, wrong = _target(chosen.build), False
    scenarios = _growth(200) if chosen.growth else [Scenario("the load run", chosen.notifications // 2)]
    print(f"{chosen.instances} instances of the {target}; load {os.getloadavg()[0]:.1f}")
    for scenario in scenarios:
        came = run(target, scenario, chosen.instances)
        jobs, expected = scenario.jobs, scenario.jobs * scenario.subscribers
        doubled = sum(count - 1 for count in came.told.values())
        print(
            f"{scenario.name}: {jobs:,} jobs, {came.outcomes.total():,} notifications in {came.seconds:,.0f} s, "
            f"{jobs / came.seconds:,.1f} jobs a second; of a job {came.cpu / jobs * 1000:,.0f} ms of CPU and "
            f"{came.calls / jobs:.1f} store calls; peak {came.peak / 1e6:,.0f} MB; "
            f"lost {expected - len(came.told)}, doubled {doubled}, dead {came.dead}, left {came.left}"
        )
        wrong |= bool(expected - len(came.told) or doubled or came.dead or came.left)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
