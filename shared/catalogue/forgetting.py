"""Everything of one job leaves the catalogue."""

from __future__ import annotations

from collections.abc import Collection

from shared.catalogue.keys import APPEARANCES, JOBS, ROWS, OpenRow, published_key
from shared.catalogue.parts import CONTENT_TYPE, Packer, parts_under, read_lines
from shared.catalogue.positions import day_of
from shared.storage import ObjectStore


def forget(store: ObjectStore, job_id: str, times: Collection[int] | None) -> None:
    """Remove a job from open rows, then from parts of the days of ``times`` (ms), of all days where that is None.

    In this order, a sealing at the same time either finds no row, or has put its part before we look for parts. Last
    goes what says when the job was published.
    """
    for key in list(store.list(ROWS)):
        if (row := OpenRow.parse(key)) is not None and row.job_id == job_id:
            store.delete(key)
    days = [""] if times is None else sorted({f"dt={day_of(at)}/" for at in times})
    for folder in (f"{kind}{day}" for kind in (JOBS, APPEARANCES) for day in days):
        for part in parts_under(store, folder):
            _rewrite(store, part.key, b'"jobId":"%s"' % job_id.encode())
    store.delete(published_key(job_id))


def _rewrite(store: ObjectStore, key: str, marked: bytes) -> None:
    lines = read_lines(store, key)
    kept = [line for line in lines if marked not in line]
    if len(kept) == len(lines):
        return
    if not kept:
        store.delete(key)
        return
    packer = Packer()
    for line in kept:
        packer.add(line + b"\n")
    store.put(key, packer.finish(), CONTENT_TYPE)
