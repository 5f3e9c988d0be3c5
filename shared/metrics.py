"""What one invocation did, told in one log line at its end; nothing is asked of any service for it.

Whoever does something notes it here; outside an invocation, as in the command line, notes go nowhere.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from shared.logs import log


@dataclass
class _Notes:
    """Of one invocation, by any of its threads."""

    stages: dict[str, Counter[str]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    due: tuple[int, float] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_notes: ContextVar[_Notes | None] = ContextVar("notes", default=None)


@contextmanager
def measured(function: str) -> Iterator[None]:
    """Log ``invocation.measured`` at the end of what runs inside, however it ends.

    The line holds ``function``, ``seconds``, ``stages`` (name to ``calls``, ``ms`` and ``bytes``; those of several
    threads are added up), ``outcomes`` (kind and state of tasks to their number), ``deadLetters`` that were written,
    and after a sweep ``tasksDue`` and ``oldestDueSeconds`` as it found them.
    """
    notes, began = _Notes(), time.monotonic()
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)
        line: dict[str, Any] = {"stages": notes.stages, "outcomes": notes.outcomes, "deadLetters": notes.dead_letters}
        if notes.due is not None:
            line |= {"tasksDue": notes.due[0], "oldestDueSeconds": round(notes.due[1], 1)}
        log("invocation.measured", function=function, seconds=round(time.monotonic() - began, 3), **line)


@contextmanager
def stage(name: str) -> Iterator[Callable[[int], None]]:
    """Note one call of a stage and how long it took; what is yielded notes bytes that were sent or came in."""
    notes = _notes.get() or _Notes()  # of nobody, outside an invocation
    began = time.monotonic()

    def add(**numbers: int) -> None:
        with notes.lock:
            notes.stages.setdefault(name, Counter()).update(numbers)

    try:
        yield lambda size: add(bytes=size)
    finally:
        add(calls=1, ms=round((time.monotonic() - began) * 1000))


def note_outcome(name: str) -> None:
    """Note what came of a task."""
    if (notes := _notes.get()) is not None:
        with notes.lock:
            notes.outcomes[name] += 1


def note_dead_letter() -> None:
    """Note that something was given up."""
    if (notes := _notes.get()) is not None:
        with notes.lock:
            notes.dead_letters += 1


def note_due(tasks: int, oldest_seconds: float) -> None:
    """Note what a sweep found due at first, and for how long the oldest of it has been."""
    if (notes := _notes.get()) is not None and notes.due is None:
        notes.due = tasks, oldest_seconds
