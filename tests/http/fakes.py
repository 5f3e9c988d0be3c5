"""The services behind the routes, in memory: what the HTTP layer is tested against."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import waitress.server

from local import recorded
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.row import Row, make_row
from shared.catalogue.search import Page
from shared.errors import JobErased, JobNotFound, ObjectNotFound, Unavailable
from shared.http.app import App
from shared.http.push import PushVerifier
from shared.http.routes import Dependencies
from shared.http.tokens import TokenAuth, hash_of
from shared.jobs import ARTIFACTS
from shared.links import Links, Sessions
from shared.publishing.sweeps import LastSweep
from shared.settings import ApiToken, LinkKey
from shared.smarttag import summarise
from shared.smarttag.model import Summary
from shared.webhooks.standing import Standing
from tests.fakes.memory_store import MemoryStore

DONE = "88c6ca184c0e47098a5b665e2a126797"
RUNNING = "0123456789abcdef0123456789abcdef"
FINISHED = "fedcba9876543210fedcba9876543210"  # final at MPS, not yet published
READ, WRITE, PUSH = "read-token-of-the-tests", "write-token-of-the-tests", "push-token-of-the-tests"
TOKENS = (
    ApiToken("reader", "read", hash_of(READ)),
    ApiToken("writer", "write", hash_of(WRITE)),
    ApiToken("topic", "push", hash_of(PUSH)),
)
NOW = 1_795_000_000  # seconds since 1970: when the links of the tests are made and opened
LINKS = Links("https://videos.example.com", (LinkKey("k1", b"key-of-the-tests" * 2),), 14, lambda: float(NOW))
SESSIONS = Sessions(LINKS.keys, TOKENS, LINKS.clock)
DELIVERED = {"event": "smarttag.job.succeeded", "webhookId": "msg_1", "subscriber": "cms", "redeliveryId": None} | {
    "state": "delivered",
    "attempts": [],
    "enqueuedAt": None,
    "nextTry": None,
}
RICH = summarise(recorded.jobs()["rich"].response, DONE).to_json()
LINK_TOKEN = LINKS.make(DONE).url.split("/")[-2]


@dataclass
class FakeService:
    """Knows three jobs; ``faults`` are raised by the next calls for a job, one after the other."""

    statuses: dict[str, str] = field(
        default_factory=lambda: {DONE: "Success", RUNNING: "Processing", FINISHED: "Success"}
    )
    artifacts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    handing_off: bool = False
    unwritable: tuple[str, ...] = ()
    redelivery_ids: list[str] = field(default_factory=list)
    published: Counter[str] = field(default_factory=Counter)
    erased: set[str] = field(default_factory=set)
    refreshed: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    enqueued: list[str] = field(default_factory=list)
    accepted: list[bytes] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)  # of the catalogue, newest first; else those of ``catalogue``
    asked: list[Filters] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=lambda: [DELIVERED])
    stands: Standing = field(default_factory=lambda: Standing((), 0, (), 0, (), ""))
    swept: LastSweep | None = None
    replayed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(MemoryStore(lambda: NOW), lambda: NOW))

    def __post_init__(self) -> None:
        self._leave(DONE)
        self.catalogue.add(DONE, self.artifacts[DONE, "summary.json"], list(ARTIFACTS))

    def _leave(self, job_id: str) -> None:
        for name in ARTIFACTS:
            self.artifacts[job_id, name] = f"{name} of {job_id}: 刘德华\n".encode() * 50
        self.artifacts[job_id, "summary.json"] = summary_of(job_id, self.statuses[job_id]).to_json()
        for name in ("response.json", "manifest.json"):
            self.artifacts[job_id, name] = orjson.dumps({"jobId": job_id, "rows": list(range(1000))})

    def _raise_fault(self, job_id: str) -> None:
        with self.lock:
            faults = self.faults.get(job_id) or self.faults.get("*")
            if faults:
                raise faults.pop(0)

    def _known(self, job_id: str) -> str:
        self._raise_fault(job_id)
        with self.lock:
            if job_id in self.erased:
                raise JobErased(f"job {job_id} was erased from oss://secret-bucket/", jobId=job_id)
            if job_id not in self.statuses:
                raise JobNotFound(f"job {job_id} is unknown at http://127.0.0.1:9/", jobId=job_id)
            return self.statuses[job_id]

    def publish(self, job_id: str, *, redeliver: bool, refresh: bool, request_id: str) -> dict[str, Any]:
        self.redelivery_ids.append(request_id)
        self.refreshed += [job_id] * refresh
        if self.handing_off:
            self.handed.append(job_id)
            return {"jobId": job_id, "outcome": "accepted"}
        status = self._known(job_id)
        with self.lock:
            if status == "Processing":
                return {"jobId": job_id, "outcome": "progress", "status": status, "artifacts": [], "told": []}
            outcome = "duplicate" if (job_id, "summary.json") in self.artifacts and not redeliver else "published"
            self.published[job_id] += outcome == "published"
            self._leave(job_id)
        told = [{"subscriber": "cms", "state": "delivered"}]
        return {"jobId": job_id, "outcome": outcome, "status": status, "artifacts": list(ARTIFACTS), "told": told}

    def enqueue(self, job_id: str, *, redeliver: bool, request_id: str) -> None:
        assert request_id
        assert isinstance(redeliver, bool)
        if job_id in self.unwritable:
            raise Unavailable("oss://secret-bucket/ could not be written")
        self.enqueued.append(job_id)

    def restore(self, job_id: str) -> None:
        self.erased.discard(job_id)

    def erase(self, job_id: str, *, request_id: str) -> dict[str, Any]:
        assert request_id
        if not any(known == job_id for known, _ in self.artifacts) and job_id not in self.erased:
            raise ObjectNotFound(f"nothing is known of job {job_id}")
        self.erased.add(job_id)
        self.artifacts = {key: body for key, body in self.artifacts.items() if key[0] != job_id}
        self.catalogue.forget(job_id)
        return {"jobId": job_id, "outcome": "erased", "auditId": "r0123456789abcdef"}

    def stored(self, job_id: str, name: str) -> bytes:
        try:
            return self.artifacts[job_id, name]
        except KeyError:
            if job_id in self.erased:
                raise JobErased("oss://secret-bucket/") from None
            raise ObjectNotFound(f"oss://secret-bucket/jobs/{job_id}/{name} does not exist") from None

    def arrived(self, job_id: str) -> str | None:
        return "2026-11-18T11:06:40.000Z" if (job_id, "response.json") in self.artifacts else None

    def live(self, job_id: str) -> Summary:
        return summary_of(job_id, self._known(job_id))

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        return self.told if job_id == DONE else []

    def redeliver(self, job_id: str, subscriber_id: str, *, request_id: str) -> dict[str, Any]:
        assert request_id
        if (job_id, subscriber_id) != (DONE, "cms"):
            raise ObjectNotFound("oss://secret-bucket/jobs/... holds no such delivery")
        self.redelivery_ids.append(request_id)
        return {"jobId": job_id, "subscriber": subscriber_id, "state": "delivered"}

    def jobs(self, filters: Filters, cursor: str, limit: int) -> Page:
        self.asked.append(filters)
        if not self.rows:
            self._raise_fault(DONE)
            return self.catalogue.search(filters, cursor, limit)
        found = [row for row in self.rows if filters.match(row)][int(cursor or 0) :]
        following = str(int(cursor or 0) + limit) if found[limit:] else None
        return Page(tuple(found[:limit]), following, found[:limit][-1].publishedAt if found else "")

    def standing(self) -> Standing:
        return self.stands

    def last_sweep(self) -> LastSweep | None:
        return self.swept

    def replay(self, name: str) -> None:
        if name not in {letter.name for letter in self.stands.letters}:
            raise ObjectNotFound(f"there is no dead letter {name}")
        self.replayed.append(name)

    def accept(self, message: bytes) -> list[dict[str, Any]]:
        self._raise_fault(DONE)
        self.accepted.append(message)
        return [{"jobId": DONE, "outcome": "published"}]


def published() -> FakeService:
    """Return the fake with a job whose summary and manifest are as a real one's."""
    service = FakeService()
    service.artifacts[DONE, "summary.json"] = RICH
    listed = [{"name": name, "bytes": 1234} for name in ("report.html", "response.json", "subtitles.vtt")]
    service.artifacts[DONE, "manifest.json"] = orjson.dumps({"artifacts": listed})
    service.rows = [row(number) for number in range(70)]
    return service


def row(number: int) -> Row:
    made = make_row(orjson.loads(RICH), NOW * 1000 - number * 3_600_000, 0, ("report.html",))
    return replace(made, jobId=f"job-{number}", title=f"第 {number} 集")


def summary_of(job_id: str, status: str) -> Summary:
    return summarise(orjson.dumps({"JobStatus": status, "RequestId": "1", "Results": {"Result": []}}), job_id)


def make_app(
    service: FakeService,
    *,
    tokens: tuple[ApiToken, ...] = TOKENS,
    auth: str = "token",
    push: PushVerifier | None = None,
    links: Links | None = LINKS,
    sessions: Sessions | None = SESSIONS,
    media_url: str = "",
) -> App:
    verifier = push or PushVerifier(_no_certificates)
    return App(Dependencies(lambda _context: service, TokenAuth(tokens, auth), verifier, links, sessions, media_url))


def _no_certificates(url: str) -> bytes:
    raise AssertionError(f"{url} was to be fetched")


@contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve an application on loopback with waitress; yields the base URL."""
    sockets: dict[int, Any] = {}
    server = waitress.server.create_server(app, sockets, host="127.0.0.1", port=0, threads=8)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            server.asyncore.loop(timeout=0.05, map=sockets, count=1)
        server.task_dispatcher.shutdown()
        server.asyncore.close_all(sockets)  # here, in the loop's own thread: elsewhere it would be a race

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stopping.set()
        thread.join()
