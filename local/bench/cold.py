"""Cold starts over the local cloud's stand-ins, each in a process of its own: CPU of all that it did, and store calls.

The callback: import, initialise, query the job, publish it, tell one subscriber. Its peer does the same on the eager
official SDKs. The pages: the published job's summary and report, asked of the HTTP function in the FC 3.0 form. Their
peer imports what any such function needs and fetches one object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import orjson

from local import recorded
from local.bench.measuring import Line, Sample, Way, cpu, interleaved, ours, peak, single, theirs
from local.bench.target import Target
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Request, Response, StandIn
from shared.storage.directory import DirectoryStore

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SUBSCRIBERS = [f"/{BUCKET}/{count}.json" for count in (1, 2)]
TOKEN = "bench-read-token"
JOB = recorded.jobs()["documented"]
EVENT = orjson.dumps({"Type": "smarttag", "JobId": JOB.job_id, "State": "Success", "UserData": ""}).decode()
SWEEP = orjson.dumps({"triggerTime": "2026-01-01T00:00:00Z", "triggerName": "sweep", "payload": ""}).decode()
FUNCTION = {"timeout": 300}  # seconds, as in template.yml
CONTEXT = orjson.dumps(
    {"request_id": "bench", "region": REGION, "credentials": asdict(ROLE), "function": FUNCTION}
).decode()


class Page(StandIn):
    """The one object that the pages' peer fetches."""

    def answer(self, request: Request) -> Response:  # noqa: ARG002 - the same for every request
        """Answer it."""
        return Response(200, b"x" * 4096)


@dataclass
class Cloud:
    """The stand-ins; each callback publishes to a folder of its own, so that none finds the job published."""

    target: Target
    mps: MpsStandIn
    oss: OssStandIn
    receiver: Receiver
    page: Page
    folders: int = 0

    def settings(self, subscribers: int = 1) -> dict[str, str]:
        """Return the environment of both functions."""
        return {
            "MPS_ENDPOINT": self.mps.url,
            "OSS_ENDPOINT": self.oss.url,
            "OUTPUT_URL": f"oss://{BUCKET}/out-{self.folders}",
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/{subscribers}.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "API_TOKENS": f"bench:read:{hashlib.sha256(TOKEN.encode()).hexdigest()}",
        }

    def callback(self, subscribers: int = 1, event: str = EVENT) -> Sample:
        """Publish the job with our callback."""
        self.folders += 1
        sample = ours(
            self.target, "invoke", "functions.mns_callback", event, CONTEXT, environment=self.settings(subscribers)
        )
        return self._checked(sample, sample.answer["results"][0]["outcome"], subscribers)

    def eager(self) -> Sample:
        """Publish the job with the peer."""
        self.folders += 1
        sample = theirs(self.target, "invoke", "eager_callback", EVENT, CONTEXT, environment=self.settings())
        return self._checked(sample, sample.answer["outcome"], 1)

    def sweep(self) -> Sample:
        """Sweep after the last callback, when nothing is to be done."""
        return ours(self.target, "invoke", "functions.mns_callback", SWEEP, CONTEXT, environment=self.settings())

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Sample:
        """Ask the HTTP function for a page of what the last callback published."""
        event = {
            "version": "v1",
            "rawPath": path,
            "queryParameters": dict(query or {}),
            "headers": {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip"},
            "requestContext": {"http": {"method": "GET", "path": path, "sourceIp": "127.0.0.1"}, "requestId": "bench"},
        }
        text = orjson.dumps(event).decode()
        sample = ours(self.target, "invoke", "functions.http_api", text, CONTEXT, environment=self.settings())
        if sample.answer["statusCode"] != 200:  # noqa: PLR2004 - HTTP's own number
            raise SystemExit(f"GET {path} was answered {sample.answer['statusCode']}: {sample.answer['body'][:300]}")
        return sample

    def fetch(self) -> Sample:
        """Fetch one page with the peer."""
        return theirs(self.target, "invoke", "http_get", "", CONTEXT, environment={"PAGE": self.page.url})

    def _checked(self, sample: Sample, outcome: str, deliveries: int) -> Sample:
        came = [delivery.verified for delivery in self.receiver.deliveries]
        self.receiver.deliveries.clear()
        if outcome != "published" or came != [True] * deliveries:
            raise SystemExit(f"a callback said {outcome} and {came.count(True)} webhooks came, not {deliveries}")
        return sample


@contextmanager
def cloud(target: Target, folder: Path, jobs: Mapping[str, bytes]) -> Iterator[Cloud]:
    """Start the stand-ins with what MPS answers for each job; what is published lies in ``folder``."""
    with ExitStack() as stack:
        services = (MpsStandIn(jobs), OssStandIn(folder), Receiver(SECRET), Page())
        mps, oss, receiver, page = services
        for service in services:
            stack.enter_context(service)
        bucket = DirectoryStore(folder / BUCKET)
        for count in (1, 2):
            listed = [{"id": f"s{each}", "url": f"{receiver.url}/{each}", "secrets": [SECRET]} for each in range(count)]
            bucket.put(f"{count}.json", orjson.dumps({"version": 1, "subscribers": listed}))
        yield Cloud(target, mps, oss, receiver, page)


def measure(target: Target, folder: Path, rounds: int) -> Iterator[Line]:
    """Yield the lines; what is published lies in ``folder``."""
    with cloud(target, folder, {JOB.job_id: JOB.response}) as started:
        yield from _callbacks(started, rounds)
        yield from _store_calls(started)
        yield from _pages(started, rounds)


def _callbacks(cloud: Cloud, rounds: int) -> Iterator[Line]:
    samples = interleaved({"ours": cloud.callback, "eager": cloud.eager}, rounds)
    mine, eager = samples["ours"], samples["eager"]
    yield cpu("cold-callback", "cold callback / eager official SDKs", mine, eager, str(cloud.target))
    yield peak("", "peak of a cold callback / eager official SDKs", mine, eager, str(cloud.target))


def _store_calls(cloud: Cloud) -> Iterator[Line]:
    cloud.oss.requests.clear()
    cloud.callback(2)
    two = _calls(cloud.oss)
    cloud.callback()
    one = _calls(cloud.oss)
    cloud.sweep()
    idle = _calls(cloud.oss)
    figures = (
        ("store-job", "store calls of one job with one subscriber", one),
        ("store-subscriber", "store calls of one more subscriber", two - one),
        ("store-sweep", "store calls of an idle sweep", idle),
    )
    for key, what, count in figures:
        yield single(key, what, count, "requests to OSS", str(cloud.target))


def _calls(oss: OssStandIn) -> int:
    """Return how many requests came since the last time; reading subscribers.json is no call of the store."""
    count = sum(request.path not in SUBSCRIBERS for request in oss.requests)
    oss.requests.clear()
    return count


def _pages(cloud: Cloud, rounds: int) -> Iterator[Line]:
    ways: dict[str, Way] = {
        "summary": partial(cloud.get, f"/jobs/{JOB.job_id}"),
        "report": partial(cloud.get, f"/jobs/{JOB.job_id}/report.html"),
        "peer": cloud.fetch,
    }
    samples = interleaved(ways, rounds)
    peer = samples["peer"]
    least = "werkzeug, urllib3 and one GET"
    yield cpu("cold-get", f"cold GET /jobs/{{id}} / {least}", samples["summary"], peer, str(cloud.target))
    yield cpu("cold-report", f"cold report / {least}", samples["report"], peer, str(cloud.target))
