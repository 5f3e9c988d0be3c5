"""The catalogue, newest first: open rows, one object each, and the parts of finished days, merged as one list.

The work of one request is bounded: it ends with a cursor where it has found enough or looked at enough. It costs what
it looks at, whatever lies before and behind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter, itemgetter

from shared.catalogue.filters import Filters
from shared.catalogue.keys import JOBS, ROWS, OpenRow, Part
from shared.catalogue.parts import parts_under, read_lines, read_rows
from shared.catalogue.positions import DAY, day_of, invert, iso, milliseconds, time_of
from shared.catalogue.row import Row
from shared.errors import ObjectNotFound
from shared.storage import ObjectStore

MOST_ROWS = 20_000  # looked at in one request, and
MOST_OBJECTS = 1_000  # read
_TRIES = 3
_READERS = 16  # objects read at a time
_CHUNK = 63  # open rows that are read ahead
_AHEAD = 2 * DAY  # how far the clock of whoever published may be ahead


@dataclass(frozen=True, slots=True)
class Page:
    """What was found: ``next`` is the cursor of what lies behind, None at the end.

    All of the catalogue from ``searched_to`` (ISO 8601) on has been looked at, by this request and those before it.
    """

    rows: tuple[Row, ...]
    next: str | None
    searched_to: str


_Entry = tuple[str, Row | None]  # a position and its row, or, without one, a place that the search has come to


class _Moved(Exception):
    """A row was sealed while we looked."""


@dataclass
class Search:
    """One request; ``now`` is in milliseconds since 1970."""

    store: ObjectStore
    filters: Filters
    cursor: str
    limit: int
    now: int
    _objects: int = field(default=0, init=False)
    _tries: int = field(default=_TRIES, init=False)

    def run(self) -> Page:
        """Return one page."""
        while True:
            try:
                return self._page()
            except _Moved:
                self._tries -= 1

    def _page(self) -> Page:
        self._objects, looked = 0, 0
        since, until = self.filters.since or 0, self.filters.until
        after = max(self.cursor, "" if until is None else invert(until - 1))
        end, found = invert(since - 1) if since else "~", list[Row]()
        entries = merge(self._open(after), self._sealed(after, since), key=itemgetter(0))
        for position, same in groupby(entries, itemgetter(0)):
            if position >= end:
                break
            row = max([row for _, row in same if row], key=attrgetter("revision"), default=None)
            looked += row is not None
            if row is not None and self.filters.match(row):
                found.append(row)
            if len(found) == self.limit or looked >= MOST_ROWS or self._objects >= MOST_OBJECTS:
                return Page(tuple(found), position, iso(time_of(position)))
        return Page(tuple(found), None, iso(since))

    def _open(self, after: str) -> Iterator[_Entry]:
        """Yield the rows that are not sealed yet."""
        keys = filter(OpenRow.parse, self.store.list(ROWS, f"{ROWS}{after}~" if after else ""))
        with ThreadPoolExecutor(_READERS) as pool:
            while chunk := list(islice(keys, min(self.limit, _CHUNK) + 1)):
                self._objects += len(chunk)
                for key, body in zip(chunk, pool.map(self._read, chunk), strict=True):
                    if body is None and self._tries:
                        raise _Moved
                    for row in read_rows([body] if body else [], key):
                        yield row.position, row

    def _read(self, key: str) -> bytes | None:
        try:
            return self.store.get(key)
        except ObjectNotFound:
            return None

    def _sealed(self, after: str, since: int) -> Iterator[_Entry]:
        """Yield the rows of finished days, and before whatever has to be read for them the place where it begins."""
        first = next(filter(None, map(Part.parse, self.store.list(JOBS))), None)
        if first is None:
            return
        last = milliseconds(f"{first.day}T00:00:00Z")
        newest = min(time_of(after) if after else self.now + _AHEAD, self.now + _AHEAD)
        month, oldest = day_of(newest)[:7], day_of(max(last, since))[:7]
        while month >= oldest:
            parts = [part for part in parts_under(self.store, f"{JOBS}dt={month}-") if part.oldest >= after[:13]]
            self._objects += 1
            yield from merge(*(self._rows(part, after) for part in parts), key=itemgetter(0))
            begins = milliseconds(f"{month}-01T00:00:00Z")
            yield invert(begins - 1), None
            month = day_of(begins - DAY)[:7]

    def _rows(self, part: Part, after: str) -> Iterator[_Entry]:
        yield max(part.newest, after), None
        self._objects += 1
        lines = read_lines(self.store, part.key)
        for row in read_rows(lines[_first_behind(after, lines) :], part.key):
            if (position := row.position) > after:
                yield position, row


def _first_behind(after: str, lines: list[bytes]) -> int:
    """Return where the rows behind a cursor begin, or before that if a line is damaged."""
    try:
        return bisect_right(lines, after, key=lambda line: Row.from_bytes(line).position)
    except ValueError:
        return 0
