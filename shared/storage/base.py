"""The object store as the rest of the project sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shared.errors import BadInput

_LONGEST_KEY = 1023  # bytes, the limit of OSS


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object.

    ``age`` is in seconds between the object's last write and now, both read from the *store's* clock, so that
    leases can be judged by workers whose own clocks disagree.
    """

    key: str
    size: int
    etag: str
    content_type: str
    age: float


class ObjectStore(Protocol):
    """A flat store of whole objects under UTF-8 keys; strongly consistent for one key, nothing promised across keys.

    There is no compare-and-swap: OSS has none. Everything that several workers decide together is built on
    ``create``. Every method raises ``Unavailable``, ``TimedOut`` or ``Throttled`` (worth retrying) or
    ``AccessRefused`` (permanent) when the store cannot answer, and ``BadInput`` for an impossible key.
    """

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        """Write the object only if the key is free.

        Returns:
            True if the key now holds exactly ``body`` (written now, or by an earlier identical write whose answer
            was lost); False if it holds something else. A caller that must know it was *this* call puts a nonce
            into the body.
        """
        ...

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """Write the object, replacing what was there, whole or not at all."""
        ...

    def get(self, key: str) -> bytes:
        """Return the object's bytes; ``ObjectNotFound`` if there is none."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of the object without its bytes; None if there is none."""
        ...

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """Yield the keys under ``prefix`` in ascending byte order, page by page as they are consumed."""
        ...

    def children(self, folder: str, start_after: str = "") -> Iterator[str]:
        """Yield what lies directly in ``folder``, which ends in a slash, in ascending byte order.

        That is keys, and each folder once, with its slash, whatever lies below it. ``start_after`` must not lie below
        one of these.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; removing what is not there is no error."""
        ...


def check_key(key: str) -> str:
    """Return ``key``; raise ``BadInput`` unless every store can hold an object under it."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    parts = key.split("/")
    if not 0 < size <= _LONGEST_KEY or not {"", ".", ".."}.isdisjoint(parts) or not key.isprintable() or "\\" in key:
        shown = ascii(key[:80])
        raise BadInput(
            f"{shown} is no object key: 1 to {_LONGEST_KEY} bytes of printable UTF-8 without empty, . or .. parts",
            key=shown,
        )
    return key
