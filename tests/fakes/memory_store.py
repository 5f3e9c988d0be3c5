"""An object store in memory that can be interrupted at every step."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.errors import ObjectNotFound
from shared.storage.base import ObjectInfo

Gate = Callable[[str, str, str], None]
Keys = list[str]  # inside the class, list is the operation


def open_gate(_what: str, _key: str, _when: str) -> None:
    """Let everything pass."""


@dataclass
class Stored:
    body: bytes
    content_type: str
    at: float


class MemoryStore:
    """``ObjectStore`` in memory.

    Args:
        clock: the store's own clock.
        gate: called as (operation, key, ``before`` or ``after`` it took effect); may raise, or let time pass.
        lag: how many writes a list may be behind, asked at each list.
    """

    def __init__(
        self, clock: Callable[[], float], gate: Gate = open_gate, lag: Callable[[], int] | None = None
    ) -> None:
        self.objects: dict[str, Stored] = {}
        self.calls: list[tuple[str, str]] = []
        self.gate = gate
        self._clock = clock
        self._lag = lag
        self._rooms: dict[str, set[str]] = {}  # keys by their first part, so that a list costs what it finds
        self._past: list[frozenset[str]] = []
        self._lock = threading.Lock()

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        with self._step("create", key):
            present = self.objects.get(key)
            if present is None:
                self._write(key, body, content_type)
        self.gate("create", key, "after")
        return present is None or present.body == body

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        with self._step("put", key):
            self._write(key, body, content_type)
        self.gate("put", key, "after")

    def get(self, key: str) -> bytes:
        with self._step("get", key):
            present = self.objects.get(key)
        if present is None:
            raise ObjectNotFound(f"no {key}", key=key)
        return present.body

    def head(self, key: str) -> ObjectInfo | None:
        with self._step("head", key):
            present = self.objects.get(key)
        if present is None:
            return None
        etag = hashlib.sha256(present.body).hexdigest()
        return ObjectInfo(key, len(present.body), etag, present.content_type, self._clock() - present.at)

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        with self._step("list", prefix):
            lag = self._lag() if self._lag else 0
            names = self._past[-lag] if 0 < lag <= len(self._past) else self._rooms.get(_room(prefix), set())
            found = sorted(key for key in names if key.startswith(prefix) and key > start_after)
        for number, key in enumerate(found):
            if number and number % 1000 == 0:
                self.calls.append(("list", prefix))
            yield key

    def delete(self, key: str) -> None:
        with self._step("delete", key):
            self._remember()
            self._rooms.get(_room(key), set()).discard(key)
            self.objects.pop(key, None)
        self.gate("delete", key, "after")

    def under(self, prefix: str) -> Keys:
        """Return the keys under ``prefix`` without counting as a call."""
        return sorted(key for key in self._rooms.get(_room(prefix), ()) if key.startswith(prefix))

    def lose(self, key: str) -> None:
        """Forget an object without counting as a call."""
        self._rooms.get(_room(key), set()).discard(key)
        self.objects.pop(key, None)

    def _step(self, what: str, key: str) -> threading.Lock:
        self.gate(what, key, "before")
        self.calls.append((what, key))
        return self._lock

    def _write(self, key: str, body: bytes, content_type: str) -> None:
        self._remember()
        self._rooms.setdefault(_room(key), set()).add(key)
        self.objects[key] = Stored(body, content_type, self._clock())

    def _remember(self) -> None:
        if self._lag:
            self._past = [*self._past[-9:], frozenset(self.objects)]


def _room(key: str) -> str:
    parts = key.split("/", 2)
    return parts[1] if parts[0] == "jobs" and len(parts) > 1 else parts[0]
