"""An erased job is nowhere, and nothing but an express request brings it back."""

from __future__ import annotations

import base64
import gzip
from itertools import count

import orjson
import pytest

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.keys import Part
from shared.catalogue.parts import parts_under
from shared.catalogue.sealing import Sealing
from shared.errors import JobErased
from shared.jobs import SUMMARY, artifact_key
from shared.outbox.task import TaskKind, parse_key
from shared.publishing.erasure import restore
from tests.fakes.memory_store import MemoryStore, open_gate
from tests.fakes.node import Clock, Node, document, reader, subscriber
from tests.fakes.receivers import FAILED, OK, Receivers
from tests.publishing.test_revisions import GOOD, Killed, Source

ERASED, KEPT = "job-to-erase", "job-to-keep"
DAY = 86_400
EVENTS = ("smarttag.job.*", "smarttag.delivery.exhausted")


class World:
    """Two published jobs, in a sealed day; a delivery of each dead, another waiting; poison that names them."""

    def __init__(self, *published: str) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.receivers = Receivers(lambda who, _before: FAILED if who == "down" else OK)
        self.source = Source(GOOD)
        for job in published:
            self.node().worker.run_now([self.node().task(job)], 60)
        for _ in range(14):
            self.clock.now += DAY / 2
            self.node().sweep()
        for job in published:
            self.node().redeliver(job, "down", "again")
        Sealing(self.store, self.clock).run(60)
        for job in published:
            self.node().dead.keep_notification(f"?? {job}".encode(), "no JSON")
            self.node().dead.keep_notification(base64.b64encode(f'{{"Type":"?","JobId":"{job}"}}'.encode()), "no type")

    def copy(self) -> World:
        """Return a world of its own that is like this one: making one takes longer."""
        other = World()
        for key, each in self.store.objects.items():
            other.clock.now = each.at
            other.store.put(key, each.body, each.content_type)
        other.clock.now = self.clock.now
        return other

    def node(self) -> Node:
        read = reader(subscriber("up"), subscriber("down"), subscriber("ops", events=EVENTS))
        return Node(self.store, read, self.receivers, clock=self.clock, source=self.source)

    def erase(self) -> None:
        node = self.node()
        node.publisher.erase(node.eraser.task(ERASED, "request"))

    def later(self) -> None:
        """Let the lease of whoever died run out, and further passes come due."""
        for _ in range(4):
            self.clock.now += 1000
            self.node().sweep()

    def holding(self, job: str) -> set[str]:
        """Return the keys of the objects that name a job, in their key or body."""
        found = set()
        for key, each in self.store.objects.items():
            body = gzip.decompress(each.body) if key.endswith(".gz") else each.body
            encoded = base64.b64decode(body) if key.endswith(".raw") and body.isalnum() else b""
            if any(job.encode() in text for text in (key.encode(), body, encoded)):
                found.add(key)
        return found

    def remains(self) -> set[str]:
        """Return what still names the erased job, but for tombstones, further passes and the erasure's record."""
        tombs = tuple(f"jobs/{ERASED}/deliveries/publish/{each}/0/" for each in ("final", "Submitted", "Processing"))
        found = {key for key in self.holding(ERASED) if not key.startswith((f"erased/{ERASED}/", *tombs))}
        return {key for key in found if not key.startswith("outbox/") or parse_key(key).kind is not TaskKind.ERASE}

    def notify(self, job: str, status: str = "Success") -> str:
        (_, outcome), *_ = self.node().worker.run_now([self.node().task(job, status)], 60)
        return str(outcome.record.state)


def test_everything_of_the_job_goes_and_nothing_of_another() -> None:
    world = World(ERASED, KEPT)
    assert len(world.remains()) > 20
    others = {key: each.body for key, each in world.store.objects.items() if key in world.holding(KEPT)}
    world.erase()
    assert not world.remains()
    world.later()
    assert not world.remains()
    kept = {key: each.body for key, each in world.store.objects.items()}
    assert {key for key in others if others[key] != kept.get(key) and "outbox/" not in key} <= {
        key for key in others if key.endswith(".gz")
    }
    assert not [task for task in world.node().outbox.listed() if task.kind is TaskKind.ERASE]


def test_a_job_whose_id_begins_with_its_own_keeps_what_operators_are_told_of_it() -> None:
    longer = f"{ERASED}-2"
    world = World(longer)
    assert (told := world.store.under("operator/"))
    world.node().worker.run_now([world.node().task(ERASED)], 60)
    world.erase()
    assert world.store.under("operator/") == told


def test_killed_at_every_step_it_is_erased_after_the_next_sweeps() -> None:
    before = World(ERASED, KEPT)
    for step in count():
        world, left = before.copy(), [step]

        def gate(_what: str, _key: str, _when: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        world.store.gate = gate
        try:
            world.erase()
            break
        except Killed:
            world.store.gate = open_gate
        if step % 2:  # whoever asked was not answered, and asks again, now or later
            world.erase()
        world.later()
        if not step % 2:
            world.erase()
            world.later()
        assert not world.remains(), step
        assert world.notify(ERASED) == "erased"
    assert step > 60


@pytest.mark.parametrize("status", ["Success", "Fail", "Processing", "Submitted", ""])
def test_no_late_notification_brings_it_back(status: str) -> None:
    world = World(ERASED, KEPT)
    world.erase()
    queries, sent = world.source.queries, len(world.receivers.accepted)
    assert world.notify(ERASED, status) == "erased"
    world.later()
    assert (world.source.queries, len(world.receivers.accepted)) == (queries, sent)
    assert not world.remains()


def test_neither_does_whoever_asks_for_it_to_be_published_or_told_again() -> None:
    world = World(ERASED, KEPT)
    world.erase()
    for asked in ({"redeliver": False}, {"redeliver": True}, {"redeliver": False, "refresh": True}):
        with pytest.raises(JobErased):
            world.node().publisher.publish(ERASED, request_id="x", **asked)
    world.later()
    assert not world.remains()


def test_what_was_in_work_is_removed_by_a_further_pass() -> None:
    world = World(KEPT)

    def gate(_what: str, key: str, when: str) -> None:
        if (key, when) == (artifact_key(ERASED, "report.html"), "before"):
            world.store.gate = open_gate
            world.erase()

    world.store.gate = gate
    world.notify(ERASED)  # goes on after the erasure
    assert world.remains()
    world.later()
    assert not world.remains()


def test_what_a_sweep_that_was_sealing_meanwhile_has_put_is_removed_by_a_further_pass() -> None:
    world = World(ERASED, KEPT)
    parts = {part.key: world.store.get(part.key) for part in parts_under(world.store, "catalogue/")}
    world.erase()
    for key, body in parts.items():
        world.store.put(key, body)
    assert world.remains()
    world.later()
    assert not world.remains()


def test_of_the_catalogue_only_its_own_day_is_read() -> None:
    world = World(ERASED, KEPT)
    for number in range(30):
        world.clock.now += DAY
        Catalogue(world.store, world.clock).add(f"job-{number}", orjson.dumps(document(f"job-{number}")), [])
    world.clock.now += 2 * DAY
    Sealing(world.store, world.clock).run(60)
    begun = len(world.store.calls)
    world.erase()
    world.later()
    days = {part.day for _, key in world.store.calls[begun:] if (part := Part.parse(key))}
    assert len(days) == 1
    assert len({part.day for part in parts_under(world.store, "catalogue/")}) == 31


def test_a_restored_job_is_published_and_told_again_and_stays() -> None:
    world = World(ERASED, KEPT)
    world.erase()
    restore(world.store, ERASED)
    done = world.node().publisher.publish(ERASED, redeliver=False, request_id="x")
    assert done["outcome"] == "published"
    assert {"subscriber": "up", "state": "delivered"} in done["told"]
    world.later()
    assert world.store.get(artifact_key(ERASED, SUMMARY))
    assert world.notify(ERASED) == "settled"
