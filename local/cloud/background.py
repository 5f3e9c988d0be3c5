"""Work in threads that can be waited for and ended: what stand-ins do after they have answered."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Threads of one stand-in.

    Attributes:
        stopping: set at the end; whoever waits should wait on it.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._pending: set[threading.Thread] = set()
        self._changed = threading.Condition()

    def start(self, work: Callable[..., object], *args: object) -> bool:
        """Run ``work`` in a thread; False if it is too late for that."""
        thread = threading.Thread(target=self._run, args=(work, *args), daemon=True)
        with self._changed:
            if self.stopping.is_set():
                return False
            self._pending.add(thread)
            thread.start()
        return True

    def drain(self, seconds: float) -> bool:
        """Wait until nothing runs any more; False if something still does after ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, seconds)

    def _run(self, work: Callable[..., object], *args: object) -> None:
        try:
            work(*args)
        finally:
            with self._changed:
                self._pending.discard(threading.current_thread())
                self._changed.notify_all()
