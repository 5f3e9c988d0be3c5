"""What is due, and for whom: all that a sweep asks of the place where tasks wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shared.outbox.task import Task


@dataclass(frozen=True, slots=True)
class Batch:
    """Some tasks of a partition that are due, and where those after them begin; empty if there are no more."""

    tasks: tuple[Task, ...]
    after: str = ""


class TaskQueue(Protocol):
    """Where tasks wait until they are due; a queue with delayed messages could take the place of the bucket.

    It must not lose a task. It may show one late, twice, or after it was removed: claims and receipts decide what is
    done. Times are milliseconds since 1970. Every method raises a ``RelayError`` when the queue cannot answer.
    """

    def add(self, task: Task) -> None:
        """Write the task down; when this returns it stands."""
        ...

    def remove(self, task: Task) -> None:
        """Take the task out; removing what is not there is no error."""
        ...

    def partitions(self, now: int) -> list[str]:
        """Return where something may be due that no other worker is looking after."""
        ...

    def due(self, partition: str, now: int, after: str = "") -> Batch:
        """Return the longest due, and of a partition where much is due the latest too."""
        ...

    def hold(self, partition: str, now: int, worker: str) -> str:
        """Return a lease on the partition for a while, empty if another worker has one; advice only.

        Holding it again prolongs it.
        """
        ...

    def let_go(self, lease: str) -> None:
        """End a lease."""
        ...

    def waiting(self) -> Iterator[Task]:
        """Yield all tasks, due or not, in no particular order."""
        ...
