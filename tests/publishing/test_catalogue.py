"""Every publication is entered into the catalogue, and that it cannot be is no reason to tell nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.recorded import jobs
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.row import Row
from shared.errors import AccessRefused
from shared.jobs import ARTIFACTS
from shared.relay import Relay
from shared.settings import Settings
from shared.smarttag import summarise
from tests.fakes.memory_store import MemoryStore, open_gate
from tests.fakes.node import START, Clock, Node, reader, subscriber
from tests.fakes.receivers import OK, Receivers

GOOD = jobs()["rich"].response
FAIL = b'{"JobStatus":"Fail","Results":{"Result":[]},"UserData":"show-1"}'


class World:
    def __init__(self, response: bytes = GOOD) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.receivers = Receivers(lambda _who, _before: OK)
        self.response = response
        self.node = Node(self.store, reader(subscriber("a")), self.receivers, clock=self.clock, source=self)

    def query(self, _job_id: str, _deadline: float, _admits: object) -> bytes:
        return self.response

    def rows(self) -> list[Row]:
        return list(Catalogue(self.store, self.clock).search(Filters()).rows)


def test_a_published_job_is_listed_with_what_it_left_behind() -> None:
    world = World()
    world.node.tell("job1")
    (row,) = world.rows()
    assert (row.jobId, row.revision, row.status, row.publishedAt) == ("job1", 0, "Success", "2026-09-21T14:13:20.000Z")
    left = {key.rpartition("/")[2] for key in world.store.under("jobs/job1/")} & set(ARTIFACTS)
    assert set(row.artifacts) == left
    assert row.persons
    assert row.tags
    assert row.title


def test_a_better_answer_replaces_the_row_and_keeps_its_place() -> None:
    world = World(FAIL)
    world.node.tell("job1")
    world.clock.now += 1
    world.node.tell("job2")
    world.response = GOOD
    world.clock.now += 86400
    world.node.tell("job1")
    newest, oldest = world.rows()
    assert (newest.jobId, newest.status) == ("job2", "Fail")
    assert (oldest.jobId, oldest.status, oldest.revision) == ("job1", "Success", 2)


def test_repeats_and_redeliveries_write_no_second_row() -> None:
    world = World()
    for request in (None, None, "again"):
        world.clock.now += 1
        world.node.tell("job1", request=request)
    assert len(world.store.under("catalogue/")) == 2


@pytest.mark.parametrize("broken", ["catalogue/published/", "catalogue/rows/"])
def test_a_catalogue_that_cannot_be_written_costs_no_publication_and_the_sweep_mends_it(broken: str) -> None:
    world = World()

    def refuses(what: str, key: str, when: str) -> None:
        if what == "create" and when == "before" and key.startswith(broken):
            raise AccessRefused("the role may not write there")

    world.store.gate = refuses
    assert world.node.tell("job1") == {"a": "delivered"}
    assert world.rows() == []
    for _ in range(3):
        world.clock.now += 3600
        world.node.sweep()
    assert world.rows() == []
    world.store.gate = open_gate
    world.clock.now += 3 * 3600
    world.node.sweep()
    assert [row.jobId for row in world.rows()] == ["job1"]
    assert world.store.under("outbox/") == []
    assert len(world.receivers.accepted) == 1


def test_a_better_answer_that_could_not_be_entered_is_mended_as_what_it_is() -> None:
    world = World(FAIL)
    world.node.tell("job1")
    world.response = GOOD

    def refuses(what: str, key: str, when: str) -> None:
        if what == "create" and when == "before" and key.startswith("catalogue/rows/"):
            raise AccessRefused("the role may not write there")

    world.store.gate = refuses
    world.clock.now += 86400
    world.node.tell("job1")
    world.store.gate = open_gate
    world.clock.now += 3 * 3600
    world.node.sweep()
    assert [(row.status, row.revision) for row in world.rows()] == [("Success", 2)]


def test_a_row_that_could_not_be_entered_for_days_is_entered_when_its_dead_letter_is_replayed() -> None:
    world = World(FAIL)
    world.node.tell("job1")
    world.response = GOOD

    def refuses(what: str, key: str, when: str) -> None:
        if what == "create" and when == "before" and key.startswith("catalogue/rows/"):
            raise AccessRefused("the role may not write there")

    world.store.gate = refuses
    world.clock.now += 86400
    world.node.tell("job1")
    for _ in range(20):
        world.clock.now += 6 * 3600
        world.node.sweep()
    (letter,) = world.node.dead.names()
    world.store.gate = open_gate
    world.node.dead.replay(letter, lambda _raw: None)
    world.node.sweep()
    assert [(row.status, row.revision) for row in world.rows()] == [("Success", 2)]
    assert list(world.node.dead.names()) == []
    assert len(world.receivers.accepted) == 2


def test_the_timer_seals_finished_days_after_it_has_swept(tmp_path: Path) -> None:
    relay = Relay(Settings.from_env({"OUTPUT_URL": f"file://{tmp_path}"}))
    summary = summarise(GOOD, "job1").to_json()
    Catalogue(relay.store, lambda: START).add("job1", summary, [])
    sweep = b'{"triggerName":"sweep","triggerTime":"2026-01-01T00:00:00Z","payload":""}'
    assert relay.handle(sweep, request_id="test", seconds=20) == []
    assert list(relay.store.list("catalogue/jobs/")) == [], "too little time is left"
    assert relay.handle(sweep, request_id="test", seconds=60) == []
    assert len(list(relay.store.list("catalogue/jobs/dt=2026-09-21/"))) == 1
    assert [row.jobId for row in relay.jobs(Filters(), "", 50).rows] == ["job1"]


def test_a_catalogue_that_cannot_be_sealed_fails_no_sweep(tmp_path: Path) -> None:
    relay = Relay(Settings.from_env({"OUTPUT_URL": f"file://{tmp_path}"}))
    Catalogue(relay.store, lambda: START).add("job1", summarise(GOOD, "job1").to_json(), [])
    (tmp_path / "catalogue" / "jobs").write_bytes(b"a file where a folder should be")
    sweep = b'{"triggerName":"sweep","triggerTime":"2026-01-01T00:00:00Z","payload":""}'
    assert relay.handle(sweep, request_id="test", seconds=60) == []


def test_a_row_made_of_what_lies_in_the_bucket_is_the_same() -> None:
    world = World()
    world.node.tell("job1")
    (before,) = world.rows()
    (key,) = world.store.under("catalogue/rows/")
    world.store.lose(key)
    Catalogue(world.store, world.clock).add_stored("job1")
    assert world.rows() == [before]
