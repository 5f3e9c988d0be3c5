"""One 403, 503 or 404 at any call of the store or of MPS is not an end: the job is told once, and nothing is dead."""

from __future__ import annotations

from contextlib import suppress

import pytest

from local import recorded
from shared.errors import AccessRefused, BadSettings, JobNotFound, ObjectNotFound, RelayError, Unavailable
from shared.storage import ObjectInfo
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import FAILED, OK, Receivers

JOB = "job1"
RESPONSE = recorded.jobs()["cpv"].response
ANSWERS = {"403": AccessRefused, "503": Unavailable, "no bucket": BadSettings, "no key": ObjectNotFound}


class OssInMemory(MemoryStore):
    """A 404 of a HEAD is no error: there is nothing under the key."""

    def head(self, key: str) -> ObjectInfo | None:
        with suppress(ObjectNotFound):
            return super().head(key)
        return None


class World:
    """One job, and two subscribers, one of which fails at first; one call of the store is answered wrong."""

    def __init__(self, number: int = -1, wrong: type[RelayError] = Unavailable, mps: RelayError | None = None) -> None:
        self.clock = Clock()
        self.number, self.wrong, self.mps = number, wrong, mps
        self.calls = 0
        self.store = OssInMemory(self.clock, self._gate)
        self.receivers = Receivers(lambda who, before: FAILED if (who, before) == ("b", 0) else OK)

    def run(self) -> None:
        read = reader(subscriber("a"), subscriber("b"))
        for _ in range(9):  # as often as the platform tries
            try:
                Node(self.store, read, self.receivers, clock=self.clock, source=self).tell(JOB)
                break
            except RelayError:
                self.clock.now += 60
        for _ in range(60):
            if not self.store.under("outbox/"):
                return
            self.clock.now += 60
            try:
                Node(self.store, read, self.receivers, clock=self.clock, source=self).sweep()
            except RelayError:
                continue

    def query(self, _job_id: str, _deadline: float, _admits: object) -> bytes:
        error, self.mps = self.mps, None
        if error is not None:
            raise error
        return RESPONSE

    def _gate(self, what: str, key: str, when: str) -> None:
        if when == "before":
            self.calls += 1
            if self.calls - 1 == self.number:
                raise self.wrong(f"{what} {key}")

    def check(self, where: str) -> None:
        assert sorted(who for who, _, _ in self.receivers.accepted) == ["a", "b"], where
        assert self.store.under("dead/") == [], where
        assert self.store.under("outbox/") == [], where
        assert f"jobs/{JOB}/manifest.json" in self.store.objects, where


def calls_of_an_undisturbed_run() -> int:
    world = World()
    world.run()
    world.check("undisturbed")
    return world.calls


@pytest.mark.parametrize("answer", ANSWERS)
def test_one_wrong_answer_of_the_store_at_any_call_ends_nothing(answer: str) -> None:
    total = calls_of_an_undisturbed_run()
    assert total > 30
    for number in range(total):
        world = World(number, ANSWERS[answer])
        world.run()
        world.check(f"{answer} at call {number}: {world.store.calls[number : number + 1]}")


@pytest.mark.parametrize(
    "error", [AccessRefused("403"), Unavailable("503"), JobNotFound("no such job")], ids=["403", "503", "404"]
)
def test_one_wrong_answer_of_mps_ends_nothing(error: RelayError) -> None:
    world = World(mps=error)
    world.run()
    world.check(error.message)
