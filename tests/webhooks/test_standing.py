"""What an operator sees at one glance: the tasks that are due first, however many wait."""

from __future__ import annotations

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
