"""The files of finished days: gzip of one JSON object a line, in the order of the catalogue.

``catalogue/jobs/dt=YYYY-MM-DD/part-<newest>-<oldest>-<hash>.ndjson.gz`` holds rows; its name says, as inverted times,
between which they lie, so that whoever searches opens what is asked for. ``catalogue/appearances/dt=.../`` holds the
timelines of the same jobs.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator

from shared.catalogue.keys import Part
from shared.catalogue.row import Row
from shared.logs import log
from shared.storage import ObjectStore

CONTENT_TYPE = "application/gzip"
_GZIP = 31  # zlib's name for gzip with the largest window
_CHUNK = 1 << 20
_MOST_BYTES = 1 << 28  # of one part, unpacked: nobody's hostile file fills the memory


def parts_under(store: ObjectStore, prefix: str) -> list[Part]:
    """Return the parts under a prefix, oldest day first."""
    return [part for key in store.list(prefix) if (part := Part.parse(key)) is not None]


class Packer:
    """Packs lines as they come; the same lines give the same bytes for ever."""

    def __init__(self) -> None:
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _GZIP)  # it writes no time
        self._packed: list[bytes] = []
        self.size = 0  # of the lines

    def add(self, lines: bytes) -> None:
        """Add whole lines."""
        self.size += len(lines)
        self._packed.append(self._gzip.compress(lines))

    def finish(self) -> bytes:
        """Return the file."""
        return b"".join((*self._packed, self._gzip.flush()))


def read_lines(store: ObjectStore, key: str) -> list[bytes]:
    """Return the lines of a part, without their ends; of a damaged one those that are whole."""
    packed, lines = store.get(key), b""
    unpacking = zlib.decompressobj(_GZIP)
    try:
        lines = unpacking.decompress(packed, _MOST_BYTES)
        whole = unpacking.eof
    except zlib.error:
        lines, whole = _salvage(packed), False
    if not whole:
        log("catalogue.part.damaged", level=logging.ERROR, key=key, bytes=len(packed))
        lines = lines[: lines.rfind(b"\n") + 1]
    return lines.splitlines()


def _salvage(packed: bytes) -> bytes:
    """Return what comes before the damage."""
    unpacking, found = zlib.decompressobj(_GZIP), bytearray()
    try:
        for at in range(0, len(packed), 64):
            found += unpacking.decompress(packed[at : at + 64], max(1, _MOST_BYTES - len(found)))
    except zlib.error:
        pass
    return bytes(found)


def read_rows(lines: Iterable[bytes], key: str) -> Iterator[Row]:
    """Yield the rows of lines; a line that is none is named in the log and left out."""
    for line in lines:
        try:
            yield Row.from_bytes(line)
        except ValueError:
            log("catalogue.row.damaged", level=logging.ERROR, key=key)
