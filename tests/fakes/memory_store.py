"""An object store in memory that can be interrupted at every step."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.errors import ObjectNotFound
from shared.storage.base import ObjectInfo, check_key

Gate = Callable[[str, str, str], None]
Keys = list[str]  # inside the class, list is the operation
_PAGE = 1000


def open_gate(_what: str, _key: str, _when: str) -> None:
    """Let everything pass."""


@dataclass
class Stored:
    body: bytes
    content_type: str
    at: float


class MemoryStore:
    """``ObjectStore`` in memory; it passes the conformance suite, and is as unkind as the contract allows.

    Args:
        clock: the store's own clock.
        gate: called as (operation, key, ``before`` or ``after`` it took effect); may raise, or let time pass.
        lag: how many seconds a list may be behind, asked at each page of a list.
    """

    def __init__(
        self, clock: Callable[[], float], gate: Gate = open_gate, lag: Callable[[], float] | None = None
    ) -> None:
        self.objects: dict[str, Stored] = {}
        self.calls: list[tuple[str, str]] = []
        self.gate = gate
        self._clock = clock
        self._lag = lag
        self._keys: Keys = []  # ascending; code points sort as UTF-8 bytes do
        self._past: deque[tuple[float, Sequence[str]]] = deque(maxlen=500)  # until when it was so
        self._lock = threading.Lock()

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        with self._step("create", check_key(key)):
            present = self.objects.get(key)
            if present is None:
                self._write(key, body, content_type)
        self.gate("create", key, "after")
        return present is None or present.body == body

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        with self._step("put", check_key(key)):
            self._write(key, body, content_type)
        self.gate("put", key, "after")

    def get(self, key: str) -> bytes:
        with self._step("get", check_key(key)):
            present = self.objects.get(key)
        if present is None:
            raise ObjectNotFound(f"no {key}", key=key)
        return present.body

    def head(self, key: str) -> ObjectInfo | None:
        with self._step("head", check_key(key)):
            present = self.objects.get(key)
        if present is None:
            return None
        etag = hashlib.sha256(present.body).hexdigest()
        return ObjectInfo(key, len(present.body), etag, present.content_type, self._clock() - present.at)

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        if folder := prefix.rpartition("/")[0]:
            check_key(folder)
        return self._pages(prefix, start_after)

    def children(self, folder: str, start_after: str = "") -> Iterator[str]:
        check_key(folder.rstrip("/"))
        while True:
            with self._step("list", folder):
                keys, found = self._listed(), list[str]()
                while len(found) <= _PAGE and (after := _found(keys, folder, start_after, 1)):
                    name, slash, _ = after[0][len(folder) :].partition("/")
                    found.append(folder + name + slash)
                    start_after = f"{folder}{name}/\U0010ffff" if slash else after[0]
            yield from found[:_PAGE]
            if len(found) <= _PAGE:
                return
            start_after = found[_PAGE - 1] + ("\U0010ffff" if found[_PAGE - 1].endswith("/") else "")

    def delete(self, key: str) -> None:
        with self._step("delete", check_key(key)):
            self._remember()
            self._forget(key)
        self.gate("delete", key, "after")

    def under(self, prefix: str) -> Keys:
        """Return the keys under ``prefix`` without counting as a call."""
        return _found(self._keys, prefix)

    def lose(self, key: str) -> None:
        """Forget an object without counting as a call."""
        self._forget(key)

    def load(self, key: str, body: bytes, age: float) -> None:
        """Hold an object that was written ``age`` seconds ago, without counting as a call."""
        self._write(key, body, "application/json")
        self.objects[key].at -= age

    def load_all(self, keys: Iterable[str]) -> None:
        """Hold so many objects that have only a key, without counting as calls; quick for millions."""
        nothing = Stored(b"{}", "application/json", self._clock())
        self.objects.update(dict.fromkeys(keys, nothing))
        self._keys = sorted(self.objects)

    def _pages(self, prefix: str, start_after: str) -> Iterator[str]:
        while True:
            with self._step("list", prefix):
                found = _found(self._listed(), prefix, start_after, _PAGE + 1)
            yield from found[:_PAGE]
            if len(found) <= _PAGE:
                return
            start_after = found[_PAGE - 1]

    def _listed(self) -> Sequence[str]:
        then = self._clock() - (self._lag() if self._lag else 0.0)
        return next((keys for until, keys in self._past if until > then), self._keys)

    def _step(self, what: str, key: str) -> threading.Lock:
        self.gate(what, key, "before")
        self.calls.append((what, key))
        return self._lock

    def _write(self, key: str, body: bytes, content_type: str) -> None:
        self._remember()
        if key not in self.objects:
            insort(self._keys, key)
        self.objects[key] = Stored(body, content_type, self._clock())

    def _forget(self, key: str) -> None:
        if self.objects.pop(key, None):
            del self._keys[bisect_left(self._keys, key)]

    def _remember(self) -> None:
        if self._lag:
            self._past.append((self._clock(), tuple(self._keys)))


def _found(keys: Sequence[str], prefix: str, start_after: str = "", most: int | None = None) -> list[str]:
    """Return the keys under ``prefix`` and behind ``start_after``: they lie side by side."""
    first = max(bisect_left(keys, prefix), bisect_right(keys, start_after))
    end = bisect_left(keys, prefix + "\U0010ffff", first)  # no printable text sorts behind that
    return list(keys[first : end if most is None else min(end, first + most)])
