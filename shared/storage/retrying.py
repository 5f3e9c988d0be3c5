"""A store that asks again where an answer may have been lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from shared.errors import RetryableError
from shared.storage.base import ObjectStore

_TRIES = 3  # of one operation; the adapters themselves wait and retry as well
_P = ParamSpec("_P")
_T = TypeVar("_T")


class RetryingStore:
    """Repeats the operations of another store, all of them safe to repeat; lists and deletions are not worth it."""

    def __init__(self, store: ObjectStore) -> None:
        self.create, self.put = _retrying(store.create), _retrying(store.put)
        self.get, self.head = _retrying(store.get), _retrying(store.head)
        self.list, self.children, self.delete = store.list, store.children, store.delete


def _retrying(operation: Callable[_P, _T]) -> Callable[_P, _T]:
    def again(*args: _P.args, **more: _P.kwargs) -> _T:
        for _ in range(_TRIES - 1):
            try:
                return operation(*args, **more)
            except RetryableError:
                continue
        return operation(*args, **more)

    return again
