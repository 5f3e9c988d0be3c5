"""Large responses take turns in an instance: side by side they would need its memory many times over.

Only one that is refused a turn costs anything: its connection is given up, and MPS asked again when its turn has come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from shared.errors import RetryableError

FREE = 1 << 20  # bytes of a response that needs no turn
TOGETHER = 4 << 20  # bytes of all others that are in work at a time; a larger one is alone
PATIENCE = (
    45.0  # seconds that a publication waits for its turn; then it is left to the next sweep, and none outlasts its time
)

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h

Admits = Callable[[int], bool]  # whether so many bytes may be had now


class NoTurn(RetryableError):
    """There was no room for the response in good time; nothing was tried."""


class Turns:
    """The turns of one instance, first come, first served; safe to share between threads."""

    def __init__(self, together: int = TOGETHER, free: int = FREE, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._together = together
        self._free = free
        self._changed = threading.Condition()
        self._taken = 0
        self._waiting: deque[Turn] = deque()

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Give up at the end whatever was taken."""
        turn = Turn(self)
        try:
            yield turn
        finally:
            self.give_back(turn)

    def take(self, turn: Turn, size: int) -> bool:
        """Take what ``size`` bytes need, if it is there."""
        more = 0 if size <= self._free else min(size, self._together) - turn.taken
        if more > 0:
            _large_blocks_apart()
        with self._changed:
            if more > 0 and (self._waiting or self._taken + more > self._together):
                return False
            self._taken += max(0, more)
            turn.taken += max(0, more)
            return True

    def wait(self, turn: Turn) -> None:
        """Take everything, once whoever came before is done.

        Raises:
            NoTurn: that took too long.
        """
        self.give_back(turn)
        with self._changed:
            self._waiting.append(turn)
            had = self._changed.wait_for(lambda: self._waiting[0] is turn and not self._taken, self._patience)
            self._waiting.remove(turn)
            if had:
                self._taken = turn.taken = self._together
            self._changed.notify_all()
        if not had:
            raise NoTurn("larger responses are being worked on; this one is tried again later")

    def give_back(self, turn: Turn) -> None:
        """Let others have what ``turn`` took."""
        with self._changed:
            self._taken -= turn.taken
            turn.taken = 0
            self._changed.notify_all()


class Turn:
    """What one publication has taken of the instance; not shared between threads."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.taken = 0  # bytes

    def admits(self, size: int) -> bool:
        """Say whether a response of so many bytes may be had now; True: room is kept for it."""
        return self._turns.take(self, size)

    def give_back(self) -> None:
        """Let others have what this has taken."""
        self._turns.give_back(self)

    def wait(self) -> None:
        """Wait until a response of any size may be had; see ``Turns.wait``."""
        self._turns.wait(self)


@cache
def _large_blocks_apart() -> None:
    """Have glibc map each large block by itself, from now on.

    After the first that is freed it would place them in the heaps of threads, and keep what was used there: each thread
    that had a large response once would cost its memory for good.
    """
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 17)
