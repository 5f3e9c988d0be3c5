"""The rows of finished days become parts, and the timelines of the same jobs beside them.

Parts are written before the rows that they hold are deleted, so that a crash anywhere leaves rows twice at worst. A row
that comes late becomes part of a further part of its day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby, islice
from operator import attrgetter
from typing import TypeVar

from shared.catalogue.keys import APPEARANCES, JOBS, ROWS, OpenRow
from shared.catalogue.parts import CONTENT_TYPE, Packer, read_rows
from shared.catalogue.positions import day_of, invert, milliseconds
from shared.errors import ObjectNotFound
from shared.jobs import artifact_key
from shared.storage import ObjectStore

MOST_ROWS = 2_000  # of one part, and
MOST_BYTES = 1 << 26  # of the timelines beside it, unpacked
NEEDS = 20.0  # seconds that must be left to begin a part
_GRACE = 900.0  # seconds that publications, and the clocks of others, may be late
_THREADS = 16
_TIMELINES = 8  # in memory at a time
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Packed:
    """A part in memory: its rows, and both files; its name is made of what is in it."""

    rows: tuple[OpenRow, ...]
    name: str
    jobs: bytes
    appearances: bytes


@dataclass
class Sealing:
    """Seals what days have left; remembers the day on which nothing was left, so that an idle sweep asks nothing."""

    store: ObjectStore
    clock: Callable[[], float]  # seconds since 1970
    _done: str = field(default="", init=False)

    def run(self, seconds: float) -> int:
        """Seal the rows of finished days, as far as ``seconds`` go; return how many."""
        ends, today = self.clock() + seconds, day_of(int((self.clock() - _GRACE) * 1000))
        if today == self._done:
            return 0
        sealed, after = 0, f"{ROWS}{invert(milliseconds(f'{today}T00:00:00Z') - 1)}"
        while self.clock() + NEEDS <= ends:
            rows = self._next(after)
            if not rows:
                self._done = today
                break
            packed = self._pack(rows)
            self._seal(packed)
            sealed += len(packed.rows)
            after = packed.rows[-1].key if packed.rows else rows[-1].key
        return sealed

    def _next(self, after: str) -> list[OpenRow]:
        """Return the next rows, all of one day."""
        rows = filter(None, map(OpenRow.parse, self.store.list(ROWS, after)))
        return list(islice(next(groupby(rows, attrgetter("day")), ("", ()))[1], MOST_ROWS))

    def _seal(self, packed: _Packed) -> None:
        if not packed.rows:
            return
        self._put(packed.name, packed)
        first, last = packed.rows[0], packed.rows[-1]
        listed = set[str]()
        for key in self.store.list(ROWS, f"{ROWS}{first.position[:13]}"):
            if key > last.key:
                break
            listed.add(key)
        if any(row.key not in listed for row in packed.rows):
            # Somebody has sealed them too, or erased their jobs and may have looked for parts before ours stood.
            self._put(packed.name, self._pack([row for row in packed.rows if row.key in listed]))
        _for_all(self.store.delete, [row.key for row in packed.rows])

    def _put(self, name: str, packed: _Packed) -> None:
        for prefix, body in ((APPEARANCES, packed.appearances), (JOBS, packed.jobs)):
            if body:
                self.store.put(f"{prefix}{name}", body, CONTENT_TYPE)
            else:
                self.store.delete(f"{prefix}{name}")

    def _pack(self, rows: Sequence[OpenRow]) -> _Packed:
        """Pack as many of the rows as fit; a damaged one stays where it is."""
        jobs, appearances, packed, digest = Packer(), Packer(), list[OpenRow](), sha256()
        for at in range(0, len(rows), _TIMELINES):
            chunk = rows[at : at + _TIMELINES]
            for row, (line, timeline) in zip(chunk, _for_all(self._read, chunk), strict=True):
                if line:
                    jobs.add(line)
                    appearances.add(timeline)
                    packed.append(row)
                    digest.update(line)
            if appearances.size > MOST_BYTES:
                break
        if not packed:
            return _Packed((), "", b"", b"")
        newest, oldest = (packed[at].position[:13] for at in (0, -1))
        name = f"dt={packed[0].day}/part-{newest}-{oldest}-{digest.hexdigest()[:16]}.ndjson.gz"
        return _Packed(tuple(packed), name, jobs.finish(), appearances.finish() if appearances.size else b"")

    def _read(self, row: OpenRow) -> tuple[bytes, bytes]:
        """Return the line of a row and its job's timeline; nothing if it has gone or is damaged."""
        try:
            lines = [found.to_bytes() + b"\n" for found in read_rows([self.store.get(row.key)], row.key)]
        except ObjectNotFound:
            return b"", b""
        try:
            timeline = self.store.get(artifact_key(row.job_id, "timeline.ndjson"))
        except ObjectNotFound:
            timeline = b""
        return b"".join(lines), timeline


def _for_all(work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))
