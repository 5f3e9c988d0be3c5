"""Everything of one job leaves the catalogue."""

from __future__ import annotations

from shared.catalogue.keys import APPEARANCES, JOBS, ROWS, OpenRow, published_key
from shared.catalogue.parts import CONTENT_TYPE, Packer, parts_under, read_lines
from shared.catalogue.positions import day_of, position_of
from shared.storage import ObjectStore


def forget(store: ObjectStore, job_id: str, at: int | None) -> None:
    """Remove a job from open rows, then from parts; last goes what says that it was published at ``at`` (ms).

    In this order, a sealing at the same time either finds no row, or has put its part before we look for parts. Where
    it is not known when the job was published, everything is searched.
    """
    prefix = ROWS if at is None else f"{ROWS}{position_of(at, job_id)}"
    for key in list(store.list(prefix)):
        if (row := OpenRow.parse(key)) is not None and row.job_id == job_id:
            store.delete(key)
    day = "" if at is None else f"dt={day_of(at)}/"
    for kind in (JOBS, APPEARANCES):
        for part in parts_under(store, f"{kind}{day}"):
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
