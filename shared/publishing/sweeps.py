"""The last sweep that did something, kept for people: one that finds nothing to do leaves nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

from shared.errors import ObjectNotFound, RelayError
from shared.logs import log_error
from shared.outbox.records import SCHEMA_VERSION
from shared.storage import ObjectStore

_KEY = "sweeps/last.json"


@dataclass(frozen=True, slots=True)
class LastSweep:
    """When it began (ISO 8601), and how many tasks came to each state."""

    at: str
    counts: Mapping[str, int]


def keep(store: ObjectStore, sweep: LastSweep) -> None:
    """Keep what a sweep did; it is for people, so a store that fails costs nothing but this."""
    if not sweep.counts:
        return
    try:
        store.put(_KEY, orjson.dumps({"version": SCHEMA_VERSION, **asdict(sweep)}))
    except RelayError as error:
        log_error("sweep.not_kept", error, level=logging.WARNING)


def last(store: ObjectStore) -> LastSweep | None:
    """Return the last one that was kept."""
    try:
        found = orjson.loads(store.get(_KEY))
        return LastSweep(str(found["at"]), {str(state): int(count) for state, count in found["counts"].items()})
    except (ObjectNotFound, ValueError, KeyError, TypeError, AttributeError):
        return None
