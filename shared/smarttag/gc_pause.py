"""Decoding without the cyclic garbage collector, which costs more than the decoding itself.

A parsed response is one large tree without cycles. While it grows, the collector walks all of it again and again and
finds nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Pause:
    """How many threads are decoding, and whether the collector was on before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders = 0
        self.was_on = False


_pause = _Pause()


@contextmanager
def paused() -> Iterator[None]:
    """Keep the collector off until the last of all threads inside has left; then put it back as it was."""
    with _pause.lock:
        if _pause.holders == 0:
            _pause.was_on = gc.isenabled()
            gc.disable()
        _pause.holders += 1
    try:
        yield
    finally:
        with _pause.lock:
            _pause.holders -= 1
            if _pause.holders == 0 and _pause.was_on:
                gc.enable()
