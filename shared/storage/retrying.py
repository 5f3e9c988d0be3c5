"""A store that asks again where an answer may have been lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from shared.errors import ObjectNotFound, RelayError
from shared.storage.base import ObjectStore

_TRIES = 3  # of one operation; the adapters themselves wait and retry as well
_P = ParamSpec("_P")
_T = TypeVar("_T")


class RetryingStore:
    """Repeats the operations of another store, all of them safe to repeat; lists and deletions are not worth it.

    One refusal is no end either, whatever it says: it may be of an instance of the service that does not know our role
    or our bucket yet. Only that nothing is there to be read is an answer.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.create, self.put = _retrying(store.create), _retrying(store.put)
        self.get, self.head = _retrying(store.get, ObjectNotFound), _retrying(store.head)
        self.list, self.children, self.delete = store.list, store.children, store.delete


def _retrying(operation: Callable[_P, _T], *answers: type[RelayError]) -> Callable[_P, _T]:
    def again(*args: _P.args, **more: _P.kwargs) -> _T:
        for _ in range(_TRIES - 1):
            try:
                return operation(*args, **more)
            except answers:
                raise
            except RelayError:
                continue
        return operation(*args, **more)

    return again
