"""The truth may change: what is better than the stored answer is published anew, and told once more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import orjson
import pytest

from local.recorded import jobs
from shared.errors import BadInput, ResponseTooLarge
from shared.outbox.outcome import Outcome
from shared.outbox.task import FIRST, Task
from shared.publishing.artifacts import store_artifacts
from shared.publishing.handler import REBUILT
from shared.publishing.revisions import unannounced
from shared.smarttag import analyse
from shared.webhooks.payload import webhook_id
from tests.fakes.memory_store import MemoryStore, open_gate
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import OK, Receivers

GOOD = jobs()["cpv"].response
BETTER = jobs()["meta"].response
FAIL = b'{"JobStatus":"Fail","Results":{"Result":[]},"UserData":""}'
EMPTY = b'{"JobStatus":"Success","Results":{"Result":[]},"UserData":""}'
PROCESSING = b'{"JobStatus":"Processing","Results":{"Result":[]},"UserData":""}'


class Killed(BaseException):
    pass


class Source:
    def __init__(self, response: bytes) -> None:
        self.response = response
        self.queries = 0

    def query(self, _job_id: str, _deadline: float, _admits: object) -> bytes:
        self.queries += 1
        return self.response


class World:
    def __init__(self, response: bytes) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.receivers = Receivers(lambda _who, _before: OK)
        self.source = Source(response)

    def node(self) -> Node:
        return Node(self.store, reader(subscriber("a")), self.receivers, clock=self.clock, source=self.source)

    def notify(self, status: str) -> list[tuple[Task, Outcome]]:
        self.clock.now += 1
        return self.node().worker.run_now([self.node().task("job1", status)], 60)

    def told(self) -> list[str]:
        return [orjson.loads(body)["data"]["status"] for _, _, body in self.receivers.accepted]

    def rebuild(self, response: bytes) -> bool:
        """Leave other artifacts, as another version would make them, and have that told; say whether it is to be."""
        self.clock.now += 1
        self.store.put("jobs/job1/response.json", response)
        store_artifacts(self.store, response, analyse(response, "job1"), anew=True)
        return self.announce_rebuilt()

    def announce_rebuilt(self) -> bool:
        task = unannounced(self.store, self.node().publisher.task("job1", FIRST, REBUILT))
        if task is not None:
            self.node().outbox.enqueue(task)
        return task is not None

    def dying(self, step: int, run: Callable[[], object]) -> int:
        """Kill ``run`` at a step, if it comes so far; return how many it made."""
        count = 0

        def gate(*_: str) -> None:
            nonlocal count
            count += 1
            if count == step:
                raise Killed

        self.store.gate = self.receivers.gate = gate
        try:
            run()
        except Killed:
            pass
        finally:
            self.store.gate = self.receivers.gate = open_gate
        return count

    def sweep(self) -> None:
        for _ in range(8):
            self.clock.now += 200
            self.node().sweep()

    def events(self) -> list[str]:
        """Return the names of the events that were told, by the IDs that receivers accepted."""
        names = {
            webhook_id("job1", name): name
            for name in (f"{base}{n}" for base in ("processing", "failed", "succeeded") for n in ("", "-2", "-3", "-4"))
        }
        return [names[message] for _, message, _ in self.receivers.accepted]

    def get(self, name: str) -> bytes:
        return self.store.objects[f"jobs/job1/{name}"].body

    def is_whole(self) -> bool:
        """Say whether every artifact is that of the manifest, and the manifest that of the response."""
        listed = {each["name"]: each["sha256"] for each in orjson.loads(self.get("manifest.json"))["artifacts"]}
        return all(hashlib.sha256(self.get(name)).hexdigest() == digest for name, digest in listed.items())


@pytest.mark.parametrize("first", [FAIL, EMPTY], ids=["it failed", "it came without results"])
def test_a_better_answer_is_published_and_told_once_more_under_an_id_of_its_own(first: bytes) -> None:
    world = World(first)
    world.notify("Success")
    world.source.response = GOOD
    world.notify("Success")
    assert world.get("response.json") == world.get("revisions/2/response.json") == GOOD
    assert world.get("revisions/2/replaced.json") == first
    assert world.is_whole()
    assert world.told() == [orjson.loads(first)["JobStatus"], "Success"]
    assert len({message for _, message, _ in world.receivers.accepted}) == 2

    queries = world.source.queries
    for _ in range(5):
        world.notify("Success")
    assert world.source.queries == queries, "a full success costs no query"
    assert len(world.receivers.accepted) == 2
    assert world.store.under("outbox/") == []


@pytest.mark.parametrize("answer", [FAIL, PROCESSING], ids=["still failed", "running again"])
def test_an_answer_that_is_not_better_costs_a_query_and_changes_nothing(answer: bytes) -> None:
    world = World(FAIL)
    world.notify("Fail")
    before = {key: stored.body for key, stored in world.store.objects.items() if "/deliveries/" not in key}
    world.source.response = answer
    for number in range(3):
        world.notify("Fail")
        assert world.source.queries == 2 + number
    after = {key: stored.body for key, stored in world.store.objects.items() if "/deliveries/" not in key}
    assert after == before
    assert world.told() == ["Fail"]


def test_whoever_asks_for_a_refresh_gets_the_better_answer_and_who_does_not_is_asked_nothing() -> None:
    world = World(FAIL)
    world.notify("Fail")
    world.source.response = GOOD
    publisher = world.node().publisher
    world.clock.now += 1
    assert publisher.publish("job1", redeliver=False, request_id="1")["outcome"] == "duplicate"
    assert world.source.queries == 1
    found = publisher.publish("job1", redeliver=False, refresh=True, request_id="2")
    assert (found["outcome"], found["status"]) == ("published", "Success")
    assert found["told"] == [{"subscriber": "a", "state": "delivered"}]


@pytest.mark.parametrize("refresh", [False, True])
def test_whoever_asks_while_the_job_runs_keeps_no_later_answer_back(*, refresh: bool) -> None:
    world = World(PROCESSING)
    publisher = world.node().publisher
    for number in range(2):
        world.clock.now += 1
        assert publisher.publish("job1", redeliver=False, refresh=refresh, request_id="1")["outcome"] == "progress"
        assert world.source.queries == 1 + number
    world.source.response = GOOD
    world.notify("Success")
    world.notify("Success")
    assert world.events() == ["processing", "succeeded"]
    assert world.source.queries == 3
    assert world.store.under("outbox/") == []


def test_whoever_asks_while_the_job_runs_does_not_end_what_a_notification_waits_for() -> None:
    world = World(PROCESSING)
    world.notify("Success")
    assert world.node().publisher.publish("job1", redeliver=False, request_id="1")["outcome"] == "progress"
    world.source.response = GOOD
    world.sweep()
    assert world.events() == ["processing", "succeeded"]
    assert world.store.under("outbox/") == []


def test_what_mps_says_while_somebody_has_just_heard_that_the_job_runs_is_not_lost() -> None:
    world = World(PROCESSING)

    def gate(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "before") and key.endswith("/event.json"):  # of the progress that was found
            world.store.gate = open_gate
            world.notify("Success")
            world.source.response = GOOD

    world.store.gate = gate
    assert world.node().publisher.publish("job1", redeliver=False, request_id="1")["outcome"] == "progress"
    assert world.events() == ["processing"]
    world.sweep()
    assert world.events() == ["processing", "succeeded"]
    assert world.store.under("outbox/") == []


def test_a_success_that_is_reported_while_a_failure_is_being_published_is_told_without_another_report() -> None:
    world = World(FAIL)

    def gate(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "before") and key.endswith("/event.json"):
            world.store.gate = open_gate
            world.source.response = GOOD
            world.notify("Success")

    world.store.gate = gate
    world.notify("Fail")
    assert world.events() == ["failed"]
    world.sweep()
    assert world.events() == ["failed", "succeeded-2"]
    assert world.store.under("outbox/") == []


def test_a_redelivery_sends_the_newest_revision() -> None:
    world = World(EMPTY)
    world.notify("Success")
    world.source.response = GOOD
    world.notify("Success")
    assert world.node().redeliver("job1", "a", "again") == {"a": "delivered"}
    sent = [message for _, message, _ in world.receivers.accepted]
    assert sent[2] == sent[1] != sent[0]
    states = [(each["event"], each["redeliveryId"] is None, each["state"]) for each in world.node().state("job1")]
    assert (
        sorted(states)
        == [("smarttag.job.succeeded", False, "delivered")] + [("smarttag.job.succeeded", True, "delivered")] * 2
    )


def test_a_stored_response_over_the_limit_is_not_read() -> None:
    world = World(GOOD)
    world.store.put("jobs/job1/response.json", b"[" + b" " * 134_217_728 + b"]")
    world.store.calls.clear()
    world.clock.now += 1
    with pytest.raises(ResponseTooLarge, match="MAX_RESULT_BYTES"):
        world.node().publisher.publish("job1", redeliver=False, request_id="1")
    assert ("get", "jobs/job1/response.json") not in world.store.calls


@pytest.mark.parametrize("first", [FAIL, EMPTY], ids=["it failed", "it came without results"])
def test_a_better_answer_whose_publication_was_given_up_is_told_by_the_next(first: bytes) -> None:
    world = World(first)
    world.notify("Success")
    world.source.response = GOOD

    def gate(what: str, key: str, _when: str) -> None:
        if what == "put" and key.endswith("manifest.json"):
            raise BadInput("it stays broken")

    world.store.gate = gate
    world.notify("Success")
    assert world.store.under("dead/") == ["dead/jobs/job1~2.json"]
    world.store.gate = open_gate
    for _ in range(2):
        world.node().publisher.publish("job1", redeliver=False, refresh=True, request_id="1")
        world.clock.now += 1
    assert world.events()[1:] == ["succeeded-3"]
    assert world.is_whole()


@pytest.mark.parametrize("swept", [False, True], ids=["notified", "swept"])
def test_killed_at_every_step_of_a_revision(*, swept: bool) -> None:
    def world_before() -> World:
        world = World(FAIL)
        world.notify("Fail")
        world.source.response = GOOD
        if swept:
            world.clock.now += 1
            world.node().outbox.enqueue(world.node().task("job1"))
        return world

    def steps(world: World, dies_at: int) -> int:
        return world.dying(dies_at, world.node().sweep if swept else partial(world.notify, "Success"))

    total = steps(world_before(), -1)
    assert total > 40
    for number in range(1, total + 1):
        world = world_before()
        steps(world, number)
        world.source.response = BETTER  # whatever was fixed first stays
        if not swept:  # else nobody asks again
            world.notify("Success")
        world.sweep()
        assert world.store.under("outbox/") == []
        assert world.get("response.json") == world.get("revisions/2/response.json") != FAIL, number
        assert world.is_whole(), number
        assert world.told()[0] == "Fail"
        assert set(world.told()[1:]) == {"Success"}, number
        assert len({body for _, _, body in world.receivers.accepted}) == 2, number


def test_a_rebuild_is_told_once_as_the_next_revision_however_often_it_is_announced() -> None:
    world = World(GOOD)
    world.notify("Success")
    assert not world.announce_rebuilt(), "what stands is what was told"
    assert world.rebuild(BETTER)
    assert world.announce_rebuilt(), "nobody was told yet"
    world.sweep()
    assert world.events() == ["succeeded", "succeeded-2"]
    assert not world.announce_rebuilt()
    assert world.rebuild(GOOD), "back to the version before: that is news too"
    world.sweep()
    assert not world.announce_rebuilt()
    assert world.events() == ["succeeded", "succeeded-2", "succeeded-3"]
    assert world.store.under("outbox/") == []
    assert world.source.queries == 1


def test_a_rebuild_of_a_job_that_a_version_before_published_is_told_once() -> None:
    world = World(GOOD)
    world.notify("Success")
    first = world.node().task("job1")
    for key in (first.receipt_key, first.claim_key):
        world.store.delete(key)  # that version left none of these
    assert world.rebuild(BETTER)
    world.sweep()
    assert not world.announce_rebuilt()
    assert world.events() == ["succeeded", "succeeded-2"]


def test_what_mps_says_while_a_rebuild_is_being_told_is_not_lost() -> None:
    world = World(FAIL)
    world.notify("Fail")
    assert world.rebuild(FAIL.replace(b'""', b'"2"'))

    def meanwhile(what: str, key: str, when: str) -> None:
        if what == "create" and key.endswith("failed-2/event.json") and when == "after":
            world.store.gate = open_gate
            world.source.response = GOOD
            world.notify("Success")

    world.store.gate = meanwhile
    world.sweep()
    assert world.events() == ["failed", "failed-2", "succeeded-3"]


def test_killed_at_every_step_of_telling_of_a_rebuild() -> None:
    def world_before() -> World:
        world = World(GOOD)
        world.notify("Success")
        world.rebuild(BETTER)
        return world

    def steps(world: World, dies_at: int) -> int:
        return world.dying(dies_at, world.node().sweep)

    total = steps(world_before(), -1)
    assert total > 20
    for number in range(1, total + 1):
        world = world_before()
        steps(world, number)
        world.announce_rebuilt()
        world.sweep()
        assert world.store.under("outbox/") == []
        assert not world.announce_rebuilt(), number
        assert set(world.events()) == {"succeeded", "succeeded-2"}, number
        assert len({body for _, _, body in world.receivers.accepted}) == 2, number
