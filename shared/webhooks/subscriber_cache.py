"""subscribers.json, read again when what is known of it is some seconds old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from shared.errors import RelayError
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers

_FRESH = 5.0  # seconds


class SubscriberCache:
    """The subscribers as they are now; ``read`` reads the file or raises ``SubscribersBroken``."""

    def __init__(self, read: Callable[[], Subscribers], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Subscriber | Broken] | None = None
        self._error: RelayError | None = None
        self._at = float("-inf")

    def read(self) -> Subscribers:
        """Read the file now; ``SubscribersBroken`` if that fails."""
        try:
            found = self._read()
        except RelayError as error:
            self._error = error
            raise
        else:
            self._known = found.by_id
            self._error = None
            return found
        finally:
            self._at = self._clock()  # others wait behind the lock, and it may have taken long to fail

    def find(self, name: str) -> Subscriber | Broken | None:
        """Return one subscriber as it was some seconds ago at most; while the file is broken, as it was before.

        Raises:
            SubscribersBroken: it is, and was so from the start.
        """
        with self._lock:
            if not 0 <= self._clock() - self._at < _FRESH:
                with suppress(RelayError):
                    self.read()
            if self._known is None:
                raise self._error or AssertionError("neither known nor broken")
            return self._known.get(name)

    def unreadable(self) -> str:
        """Return why nothing is known of the subscribers; empty if something is."""
        try:
            self.find("")
        except RelayError as error:
            return error.message
        return ""
