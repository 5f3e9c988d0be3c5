"""The catalogue made anew from what lies in the bucket, and written as Parquet."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import orjson

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.keys import APPEARANCES, JOBS, ROWS, OpenRow, Part
from shared.catalogue.parts import parts_under, read_lines, read_rows
from shared.catalogue.row import Row
from shared.catalogue.sealing import Sealing
from shared.errors import ObjectNotFound, PermanentError, RelayError
from shared.jobs import RESPONSE, artifact_key
from shared.outbox.dead_letters import is_later
from shared.storage import ObjectStore
from shared.webhooks.stored_event import event_key

_THREADS = 16
_FOREVER = 1e9  # seconds
_PAGE = 10_000
JOB_COLUMNS = {
    **dict.fromkeys(("_id", "jobId"), "VARCHAR"),
    "revision": "BIGINT",
    **dict.fromkeys(("status", "userData", "title"), "VARCHAR"),
    "publishedAt": "TIMESTAMPTZ",
    "mediaKind": "VARCHAR",
    "durationMs": "BIGINT",
    "persons": 'STRUCT("name" VARCHAR, category VARCHAR, seenMs BIGINT)[]',
    "tags": 'STRUCT("group" VARCHAR, "name" VARCHAR)[]',
    "keywords": "VARCHAR[]",
    "alerts": 'STRUCT(kind VARCHAR, "name" VARCHAR)[]',
    "texts": "VARCHAR[]",
    "artifacts": "VARCHAR[]",
}
APPEARANCE_COLUMNS = {
    **dict.fromkeys(("_id", "jobId", "userData", "kind", "name", "group"), "VARCHAR"),
    "instance": "INTEGER",
    **dict.fromkeys(("fromMs", "toMs"), "BIGINT"),
    "score": "DOUBLE",
}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many jobs were entered, and why others were not."""

    jobs: int
    failed: dict[str, str]


def rebuild(catalogue: Catalogue, job_ids: Iterable[str], told: Callable[[], object] = lambda: None) -> Rebuilt:
    """Enter all published jobs anew, seal finished days, and remove the parts that these rows replace.

    It may be interrupted and begun again, and jobs may be published meanwhile: rows are there twice at worst.

    Args:
        catalogue: what is rebuilt.
        job_ids: all published jobs, listed only when this asks for them.
        told: called after each job.
    """
    store = catalogue.store
    old = parts_under(store, JOBS)  # before jobs are listed, so that every row in them is of a job that is listed
    failed, published = dict[str, str](), set[str]()

    def enter(job_id: str) -> None:
        published.add(job_id)
        try:
            catalogue.fix_time(job_id, catalogue.published_at(job_id) or _first_told(catalogue, job_id))
            catalogue.add_stored(job_id, _revision(store, job_id), anew=True)
        except RelayError as error:
            failed[job_id] = error.message
        except (ValueError, KeyError, TypeError) as error:
            failed[job_id] = (
                f"{artifact_key(job_id, 'summary.json')} cannot be read ({error}); smarttag rebuild {job_id}"
            )
        told()

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(enter, job_ids))
    Sealing(store, catalogue.clock).run(_FOREVER)
    _replace(store, old, published)
    return Rebuilt(len(published) - len(failed), failed)


def _replace(store: ObjectStore, old: list[Part], published: set[str]) -> None:
    """Remove old parts once everything in them stands elsewhere, or is of a job that is published no more."""
    before, now = {part.key for part in old}, parts_under(store, JOBS)
    open_rows = {row.job_id for row in map(OpenRow.parse, store.list(ROWS)) if row is not None}
    for day, parts in groupby(old, key=lambda part: part.day):
        new = [part.key for part in now if part.day == day and part.key not in before]
        standing = open_rows.union(*(_jobs_in(store, key) for key in new))
        for part in parts:
            if not (_jobs_in(store, part.key) & published) - standing:
                store.delete(part.key)
                store.delete(part.key.replace(JOBS, APPEARANCES, 1))


def _jobs_in(store: ObjectStore, key: str) -> set[str]:
    return {row.jobId for row in read_rows(read_lines(store, key), key)}


def _first_told(catalogue: Catalogue, job_id: str) -> int:
    """Return when a job was published that has no time yet: when its end was told first, or its response stored."""
    for event in ("succeeded", "failed"):
        for key in (event_key(job_id, event), f"jobs/{job_id}/deliveries/{event}/event.json"):  # now, and at first
            with suppress(ObjectNotFound):
                return int(orjson.loads(catalogue.store.get(key))["at"])
    stored = catalogue.store.head(artifact_key(job_id, RESPONSE))
    return int((catalogue.clock() - (stored.age if stored else 0)) * 1000)


def _revision(store: ObjectStore, job_id: str) -> int:
    prefix = f"jobs/{job_id}/revisions/"
    series = (key[len(prefix) :].partition("/")[0] for key in store.list(prefix))
    return max((int(each) for each in series if is_later(each)), default=0)


def all_rows(catalogue: Catalogue, filters: Filters, at_a_time: int = _PAGE) -> Iterator[Row]:
    """Yield every row that is wanted, newest first."""
    cursor: str | None = ""
    while cursor is not None:
        page = catalogue.search(filters, cursor, at_a_time)
        yield from page.rows
        cursor = page.next


def export(catalogue: Catalogue, folder: Path) -> dict[str, int]:
    """Write ``jobs/dt=YYYY-MM-DD/`` and ``appearances/dt=.../`` below a folder as Parquet; return how many rows.

    Raises:
        PermanentError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise PermanentError("Parquet needs DuckDB: pip install '.[local,catalogue]' in the project's folder") from None
    counts, written = Counter[str](), set[Path]()
    with duckdb.connect() as db, tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch, "lines.ndjson")
        for day, rows in groupby(all_rows(catalogue, Filters()), key=lambda row: row.publishedAt[:10]):
            of_day = list(rows)
            both = {
                "jobs": ([row.to_bytes() for row in of_day], JOB_COLUMNS),
                "appearances": (_appearances(catalogue.store, day, of_day), APPEARANCE_COLUMNS),
            }
            for kind, (found, columns) in both.items():
                lines.write_bytes(b"".join(line + b"\n" for line in found))
                target = folder / kind / f"dt={day}"
                target.mkdir(parents=True, exist_ok=True)
                read = db.read_json(
                    str(lines), columns=columns, format="newline_delimited", maximum_object_size=1 << 28
                )
                read.write_parquet(str(target / "rows.parquet"), compression="zstd", overwrite=True)
                counts[kind] += len(found)
                written.add(target)
    for kind in ("jobs", "appearances"):  # a day whose jobs were all erased since the last time
        for old in (folder / kind).glob("dt=*/rows.parquet"):
            if old.parent not in written:
                old.unlink()
    return dict(counts)


def _appearances(store: ObjectStore, day: str, rows: list[Row]) -> list[bytes]:
    """Return the lines of a day's timelines, each once, from its parts, and from the jobs where they are not sealed."""
    wanted, found = {row.jobId for row in rows}, dict[str, bytes]()
    sealed = set[str]()
    for part in parts_under(store, f"{JOBS}dt={day}/"):
        sealed |= _jobs_in(store, part.key)
    for part in parts_under(store, f"{APPEARANCES}dt={day}/"):
        found |= _by_id(read_lines(store, part.key), wanted)
    for job_id in wanted - sealed:
        with suppress(ObjectNotFound):
            found |= _by_id(store.get(artifact_key(job_id, "timeline.ndjson")).splitlines(), wanted)
    return list(found.values())


def _by_id(lines: Iterable[bytes], wanted: set[str]) -> dict[str, bytes]:
    return {row["_id"]: line for line in lines if (row := json.loads(line))["jobId"] in wanted}
