"""``timeline.ndjson``: one row per appearance, for databases and search indexes; docs/timeline.md explains it."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import orjson

from shared.smarttag.model import Analysis, Occurrence


def rows(analysis: Analysis) -> bytes:
    """Return one JSON object per line, in the order of time.

    ``_id`` is a hash of job and row; rows that are alike in everything are told apart by a running number. So the same
    job always has the same rows, in whatever order the vendor listed them, and loading them again replaces them.
    """
    job, user_data = analysis.summary.jobId, analysis.summary.userData
    alike: Counter[bytes] = Counter()
    lines = []
    for occurrence in sorted(analysis.occurrences, key=_order):
        row = {
            "fromMs": occurrence.fromMs,
            "group": occurrence.group,
            "jobId": job,
            "kind": occurrence.kind,
            "name": occurrence.name,
            "score": occurrence.score,
            "toMs": occurrence.toMs,
        }
        content = orjson.dumps(list(row.values()))
        row["_id"] = sha256(b"%s %d" % (content, alike[content])).hexdigest()[:32]
        row["userData"] = user_data
        alike[content] += 1
        lines.append(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _order(row: Occurrence) -> tuple[int, int, str, str, str, float]:
    return row.fromMs, row.toMs, row.kind, row.group, row.name, -1.0 if row.score is None else row.score
