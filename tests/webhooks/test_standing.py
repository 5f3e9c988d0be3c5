"""What an operator sees at one glance: the tasks that are due first, however many wait."""

from __future__ import annotations

from dataclasses import replace

from shared.errors import SubscribersBroken
from shared.outbox.task import TaskKind
from shared.webhooks.endpoint_health import TRIPS_AT
from shared.webhooks.standing import SHOWN, Standing, standing
from tests.fakes.node import World, reader, subscriber
from tests.fakes.receivers import FAILED


def look(world: World) -> Standing:
    return standing(world.one.outbox, world.one.dead, world.read)


def test_what_is_due_first_is_shown_whatever_else_waits() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(SHOWN + 1):
        world.tell(f"job{number}")
    world.one.outbox.enqueue(world.one.task("late"))
    found = look(world)
    assert found.waiting_count == SHOWN + 2
    assert found.waiting[0].task.job_id == "late"


def test_what_sweeps_leave_alone_is_not_overdue() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(TRIPS_AT):
        world.tell(f"job{number}")
    for _ in range(10):
        world.sweep(60)
    found, now = look(world), world.clock.now * 1000
    assert found.waiting[0].task.due < now - 120_000, "the endpoint is spared"
    assert found.due is None or found.due > now
    world.read = reader()
    assert look(world).due is None, "the subscriber is missing"
    fan_out = replace(world.one.task("job"), kind=TaskKind.FAN_OUT, event="succeeded")
    world.one.outbox.enqueue(fan_out)
    assert look(world).due == fan_out.due

    def unreadable() -> None:
        raise SubscribersBroken("half-written")

    world.read = unreadable
    assert look(world).due is None
    world.one.outbox.enqueue(world.one.task("job"))
    assert look(world).due == fan_out.due
