"""docs/outbox.md names the objects and the cost of the protocol as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from local import recorded
from shared.errors import Throttled
from shared.outbox.outcome import State
from shared.webhooks.endpoint_health import TRIPS_AT
from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Subscribers
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, GONE, OK, Receivers

PAGE = (Path(__file__).parents[2] / "docs" / "outbox.md").read_text("utf-8")
JOBS = {name: recorded.jobs()[name].response for name in ("documented", "processing", "fail", "large")}
LIMITS = (18, 5, 2, 2)  # calls, for each row of the table of costs


class Mps:
    """Answers a recorded job, whose name is the first part of the ID, and throttles whoever asks for another."""

    mended = False  # failed jobs succeed after all

    def query(self, job_id: str, _deadline: float, _admits: object) -> bytes:
        name = job_id.partition("-")[0]
        if name not in JOBS:
            raise Throttled("MPS throttles")
        return JOBS["documented" if self.mended and name == "fail" else name]


class World:
    """One process that really publishes, over a store that remembers every call."""

    def __init__(self, read: Callable[[], Subscribers], answer: Callable[[str, int], Attempt]) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.mps = Mps()
        self.node = Node(self.store, read, Receivers(answer), clock=self.clock, source=self.mps)

    def sweep_until_empty(self) -> None:
        for _ in range(60):
            if not waiting(self.store):
                return
            self.clock.now += 86400 * 1.2
            self.node.sweep()
        raise AssertionError(waiting(self.store))


def table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the first table below a heading."""
    below = PAGE.partition(f"\n## {heading}\n")[2]
    rows = re.findall(r"^\|(.+)\|$", below.partition("\n## ")[0], re.MULTILINE)[2:]
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def costs(subscribers: int) -> list[int]:
    """Return the store calls of a notification, of its duplicate, and of a sweep after both."""
    world = World(reader(*(subscriber(f"s{number}") for number in range(subscribers))), lambda _who, _before: OK)
    store = world.store
    assert set(world.node.tell("documented").values()) == {"delivered"}
    told = len(store.calls)
    assert set(world.node.tell("documented").values()) == {"duplicate"}
    repeated = len(store.calls)
    assert world.node.sweep() == {}
    return [told, repeated - told, len(store.calls) - repeated]


def test_the_table_of_costs_is_measured() -> None:
    (told, repeated, idle), (more, *_) = costs(1), costs(2)
    measured = [told, more - told, repeated, idle]
    assert [int(calls) for _, calls, _ in table("What it costs")] == measured
    assert [calls <= most for calls, most in zip(measured, LIMITS, strict=True)] == [True] * 4


def everything() -> World:
    """Let everything happen that leaves an object of a kind of its own."""
    whole = [subscriber(name, payload="full", when="length(tags) > `20`") for name in ("whole", "too")]
    listed = [subscriber("well"), subscriber("left"), *whole, subscriber("fails")]
    readable = [True]

    def read() -> Subscribers:
        if not readable[0]:
            raise Throttled("OSS throttles")
        return reader(*listed)()

    world = World(read, lambda who, _before: {"fails": FAILED, "left": GONE}.get(who, OK))
    world.node.tell("processing", "Processing")
    world.node.tell("large")
    readable[0] = False
    world.node.tell("documented")  # a fan-out, until the file can be read
    readable[0] = True
    for number in range(TRIPS_AT + 1):
        world.node.tell(f"documented-{number}")
    fails = listed.pop()
    world.clock.now += 130
    world.node.sweep()
    listed.append(fails)
    world.sweep_until_empty()
    for _ in range(2):
        world.clock.now += 1
        world.node.tell("unlucky")
        world.sweep_until_empty()
    for world.mps.mended in (False, True):
        world.clock.now += 1
        world.node.tell("fail")
    world.sweep_until_empty()
    world.node.dead.keep_notification(b"?", "nobody understands it")
    return world


@pytest.fixture(scope="module")
def calls() -> set[tuple[str, str]]:
    """Every (operation, key) that changed the store, of everything but artifacts and the catalogue."""
    changes = {(what, key) for what, key in everything().store.calls if what in {"create", "put", "delete"}}
    return {
        (what, key)
        for what, key in changes
        if not key.startswith(("jobs/", "catalogue/")) or re.search("/(deliveries|revisions)/", key)
    }


def patterns() -> dict[str, str]:
    """Return what matches each key of the table of objects, and how the table says that it is written."""
    keys = [(key, written) for keys, written, _ in table("Objects") for key in re.findall(r"`([^`]+)`", keys)]
    prefix = "|".join(pattern(key) for key, written in keys if not written)
    found = {pattern(key).replace("PREFIX", f"(?:{prefix})"): written for key, written in keys if written}
    assert len(found) >= 12
    return found


def pattern(key: str) -> str:
    return re.sub("<[A-Za-z0-9]+>", "[^/~]*", re.escape(key).replace("<prefix>", "PREFIX"))


def test_every_key_that_is_written_stands_in_the_table_of_objects(calls: set[tuple[str, str]]) -> None:
    strangers = {
        (what, key)
        for what, key in calls
        if not any(re.fullmatch(each, key) and what in written for each, written in patterns().items())
    }
    assert strangers == set()


def test_every_row_of_the_table_of_objects_is_used(calls: set[tuple[str, str]]) -> None:
    unused = [each for each in patterns() if not any(re.fullmatch(each, key) for _, key in calls)]
    assert unused == []
    prefixes = [key for keys, written, _ in table("Objects") if not written for key in re.findall(r"`([^`]+)`", keys)]
    assert len(prefixes) == 3
    for prefix in prefixes:
        assert any(re.match(pattern(prefix), key) for _, key in calls), prefix


def test_every_state_is_explained() -> None:
    assert [state.value for state in State if f"`{state.value}`" not in PAGE] == []
