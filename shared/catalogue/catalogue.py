"""The catalogue as the rest of the project sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from shared.catalogue.keys import published_key, row_key
from shared.catalogue.positions import check_cursor
from shared.catalogue.row import make_row
from shared.errors import ObjectNotFound
from shared.jobs import MANIFEST, SUMMARY, artifact_key
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.catalogue.filters import Filters
    from shared.catalogue.search import Page


@dataclass(frozen=True)
class Catalogue:
    """Every published job as a row; ``clock`` counts seconds since 1970."""

    store: ObjectStore
    clock: Callable[[], float] = time.time

    def add(
        self, job_id: str, summary: bytes, artifacts: Sequence[str], revision: int = 0, *, anew: bool = False
    ) -> None:
        """Write the row of a job that has been published; repeated, it writes the same.

        When a job was published is fixed once, so that its row has one place, whatever revision comes later.

        Args:
            job_id: the job.
            summary: its summary.json.
            artifacts: the names of what it left behind.
            revision: 0, or the number of the publication that this is.
            anew: write it even if it stands.
        """
        at = self.fix_time(job_id, int(self.clock() * 1000))
        row = make_row(orjson.loads(summary), at, revision, artifacts)
        (self.store.put if anew else self.store.create)(row_key(at, job_id, revision), row.to_bytes())

    def add_stored(self, job_id: str, revision: int = 0, *, anew: bool = False) -> None:
        """Write the row of a job from what it left behind; ``ObjectNotFound`` if that is not all there."""
        manifest = orjson.loads(self.store.get(artifact_key(job_id, MANIFEST)))
        names = [MANIFEST, *(artifact["name"] for artifact in manifest["artifacts"])]
        self.add(job_id, self.store.get(artifact_key(job_id, SUMMARY)), names, revision, anew=anew)

    def published_at(self, job_id: str) -> int | None:
        """Return when a job was published, in milliseconds since 1970; None if it has no row."""
        try:
            found = orjson.loads(self.store.get(published_key(job_id)))
        except ObjectNotFound:
            return None
        return int(found["publishedAt"])

    def fix_time(self, job_id: str, at: int) -> int:
        """Return when a job was published: ``at`` (ms) if nobody has said so before."""
        if self.store.create(published_key(job_id), orjson.dumps({"publishedAt": at})):
            return at
        return self.published_at(job_id) or at  # gone again: it is being erased

    def forget(self, job_id: str, times: Collection[int] | None = None) -> None:
        """Remove whatever the catalogue has of a job; interrupted and repeated, it ends the same.

        Of finished days those of ``times`` are searched, at which the job was published (ms); all where that is None.
        """
        from shared.catalogue.forgetting import forget

        forget(self.store, job_id, times)

    def search(self, filters: Filters, cursor: str = "", limit: int = 50) -> Page:
        """Return what is wanted, newest first, from the ``cursor`` of an earlier page on.

        Raises:
            BadInput: the cursor is none of ours.
        """
        from shared.catalogue.search import Search

        position = check_cursor(cursor) if cursor else ""
        return Search(self.store, filters, position, limit, int(self.clock() * 1000)).run()
