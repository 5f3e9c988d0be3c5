"""Everything of one job is removed, and only an express request brings it back: the handler of its task.

First stand the tombstones: the receipts of the job's publications say ``erased``, so that a late notification meets its
end there, as a duplicate does. What was in work meanwhile may still write: further passes, each a task that waits for
the longest lease to be over, remove that, until one finds nothing. Every step may be repeated; whoever dies on the way
leaves the task to the next sweep.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from shared.errors import JobErased, ObjectNotFound
from shared.jobs import JobStatus
from shared.logs import log
from shared.outbox.outbox import Handler, Outbox
from shared.outbox.outcome import Outcome, State
from shared.outbox.partitions import side_by_side
from shared.outbox.records import Claim, Record, iso
from shared.outbox.task import DEAD, FIRST, OPERATOR, Task, TaskKind, deliveries, redelivery_id
from shared.patterns import regex
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.catalogue.catalogue import Catalogue

_EVENT = "pass-"  # and a number from 1: the event of a task
_REPORTED = ("", JobStatus.SUBMITTED.value, JobStatus.PROCESSING.value)  # each is a publication of its own
_BASE64 = regex(rb"[A-Za-z0-9+/]{24,}={0,2}")


@dataclass(frozen=True)
class EraseHandler(Handler):
    """Erases a job; ``quiet`` seconds end whatever was in work."""

    outbox: Outbox
    catalogue: Catalogue
    quiet: float
    lease = 900.0  # seconds: there may be many dead letters to look through
    needs = 30.0

    def task(self, job_id: str, request_id: str) -> Task:
        """Return the erasure of a job as a task that is due now; the same request names the same one."""
        now = self.outbox.now()
        return Task(TaskKind.ERASE, job_id, f"{_EVENT}1", "", redelivery_id(request_id), now, now)

    def knows(self, job_id: str) -> bool:
        """Say whether there is or was anything of a job."""
        return (
            next(self._objects(job_id), None) is not None
            or is_erased(self.outbox.store, job_id)
            or next(self._tasks({job_id}), None) is not None
        )

    def suspended(self, task: Task) -> str:
        """Let a further pass wait until nothing that was in work can write any more."""
        return "what was in work may still write" if _number(task) > 1 and self.outbox.now() < task.due else ""

    def run(self, task: Task) -> Outcome:
        """Make one pass; a job that was restored since the first is left alone."""
        number, before = _number(task), _tombstone(self.outbox.store, task.job_id)
        if number > 1 and before is None:
            return Outcome(State.ERASED)
        at = self.catalogue.published_at(task.job_id)
        times = sorted({*(before or {}).get("publishedAt", ()), *(() if at is None else (at,))})
        self._put_tombstones(task, times)
        named = {task.job_id, *self._operator_events(task.job_id)}
        tasks = self._delete(each.key for each in self._tasks(named))
        objects = self._delete(key for job_id in named for key in self._objects(job_id))
        objects += self._delete(self._poison(task.job_id))
        self.catalogue.forget(task.job_id, times if times or number > 1 else None)
        log("job.erased", jobId=task.job_id, auditId=task.series, number=number, tasks=tasks, objects=objects)
        due = self.outbox.now() + int(self.quiet * 1000)
        further = number == 1 or tasks or objects
        again = (replace(task, event=f"{_EVENT}{number + 1}", due=due, attempt=1),) if further else ()
        return Outcome(State.ERASED, Record(detail={"tasks": tasks, "objects": objects}), again)

    def _put_tombstones(self, task: Task, times: Sequence[int]) -> None:
        """End every publication that a notification could ask for; the claim first, which keeps one from beginning.

        They keep when the job was published: further passes need not search all of the catalogue.
        """
        now, detail = iso(self.outbox.now()), {"publishedAt": times}
        receipt = Record(state=State.ERASED.value, at=now, error="the job was erased", detail=detail)
        for publication in _publications(task.job_id):
            self.outbox.create_json(publication.claim_key, orjson.loads(orjson.dumps(Claim("", 0.0, 0))))
            self.outbox.store.put(publication.receipt_key, orjson.dumps(receipt.to_json()))

    def _tasks(self, job_ids: set[str]) -> Iterator[Task]:
        return (each for each in self.outbox.listed() if each.job_id in job_ids and each.kind is not TaskKind.ERASE)

    def _objects(self, job_id: str) -> Iterator[str]:
        """Yield the keys of a job that are made of its ID, without its tombstones."""
        kept = {key for each in _publications(job_id) for key in (each.claim_key, each.receipt_key)}
        for prefix in (f"jobs/{job_id}/", deliveries(job_id)):
            yield from (key for key in self.outbox.store.list(prefix) if key not in kept)
        for kind in ("jobs", "deliveries"):
            prefix = f"{DEAD}{kind}/{job_id}"
            yield from (key for key in self.outbox.store.list(prefix) if key[len(prefix)] in "~.")

    def _operator_events(self, job_id: str) -> set[str]:
        """Return what stands for a job in the events for operators that name this one."""
        found = (key for key in self.outbox.store.list("operator/") if key.endswith(("/event.json", "/body.json")))
        return {OPERATOR + key.split("/")[1] for key in found if self._names(key, f'"jobId":"{job_id}"')}

    def _poison(self, job_id: str) -> Iterator[str]:
        for key in self.outbox.store.list(f"{DEAD}notifications/"):
            if key.endswith(".raw") and self._names(key, job_id):
                yield from (key, f"{key.removesuffix('raw')}json")

    def _names(self, key: str, text: str) -> bool:
        """Say whether an object holds the text, in Base64 or not."""
        try:
            body = self.outbox.store.get(key)
        except ObjectNotFound:
            return False
        encoded = (base64.b64decode(found[: len(found) & ~3]) for found in _BASE64.findall(body))
        return any(text.encode() in each for each in (body, *encoded))

    def _delete(self, keys: Iterator[str]) -> int:
        unique = [(key, key) for key in set(keys)]
        side_by_side(unique, self.outbox.store.delete, threads=self.outbox.threads)
        return len(unique)


def is_erased(store: ObjectStore, job_id: str) -> bool:
    """Say whether a job was erased and not restored since."""
    return _tombstone(store, job_id) is not None


def check_not_erased(store: ObjectStore, job_id: str) -> None:
    """Raise ``JobErased`` if the job was erased."""
    if is_erased(store, job_id):
        raise JobErased(f'job {job_id} was erased; publish it with {{"restore": true}} to bring it back', jobId=job_id)


def restore(store: ObjectStore, job_id: str) -> None:
    """Take away a job's tombstones: it may be published again.

    The receipt goes first: a claim without one is a dead worker's, and the next publication goes on from there.
    """
    if is_erased(store, job_id):
        for publication in reversed(_publications(job_id)):
            store.delete(publication.receipt_key)
            store.delete(publication.claim_key)
        log("job.restored", jobId=job_id)


def _tombstone(store: ObjectStore, job_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = orjson.loads(store.get(_publications(job_id)[0].receipt_key))
    except ObjectNotFound:
        return None
    return found if found.get("state") == State.ERASED.value else None


def _number(task: Task) -> int:
    return int(task.event.removeprefix(_EVENT))


def _publications(job_id: str) -> list[Task]:
    return [Task(TaskKind.PUBLISH, job_id, reported, "", FIRST, 0, 0) for reported in _REPORTED]
