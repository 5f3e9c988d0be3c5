"""Decoding without the cyclic garbage collector, which costs more than the decoding itself.

A parsed response is one large tree without cycles. While it grows, the collector walks all of it again and again and
finds nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_was_on: list[bool] = []  # an entry a thread that is inside; the first is how the collector stood before


@contextmanager
def paused() -> Iterator[None]:
    """Keep the collector off until the last of all threads inside has left; then put it back as it was."""
    with _lock:
        _was_on.append(gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            if _was_on.pop():
                gc.enable()
