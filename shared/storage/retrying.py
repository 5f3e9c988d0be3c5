"""A store that asks again where an answer may have been lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from shared.errors import AccessRefused, ObjectNotFound, RelayError, RetryableError
from shared.storage.base import ObjectStore

_TRIES = 3  # of one operation; the adapters themselves wait and retry as well
_P = ParamSpec("_P")
_T = TypeVar("_T")


class RetryingStore:
    """Repeats the operations of another store, all of them safe to repeat; lists and deletions are not worth it.

    One refusal is no end either: it may be of an instance of the service that does not know our role yet.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.create = _retrying(store.create, ObjectNotFound)  # which makes no sense of a write
        self.put = _retrying(store.put, ObjectNotFound)
        self.get, self.head = _retrying(store.get), _retrying(store.head)
        self.list, self.children, self.delete = store.list, store.children, store.delete


def _retrying(operation: Callable[_P, _T], *too: type[RelayError]) -> Callable[_P, _T]:
    passing: tuple[type[RelayError], ...] = (RetryableError, AccessRefused, *too)

    def again(*args: _P.args, **more: _P.kwargs) -> _T:
        for _ in range(_TRIES - 1):
            try:
                return operation(*args, **more)
            except passing:
                continue
        return operation(*args, **more)

    return again
