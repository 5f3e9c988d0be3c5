"""``timeline.ndjson``: one row per appearance, for databases and search indexes; docs/timeline.md explains it."""

from __future__ import annotations

from hashlib import sha256

import orjson

from shared.smarttag.model import Analysis, Occurrence


def rows(analysis: Analysis) -> bytes:
    """Return one JSON object per line, in the order of time.

    ``_id`` is a hash of job and row; rows that are alike in everything are told apart by a running number. So the same
    job always has the same rows, in whatever order the vendor listed them, and loading them again replaces them.
    """
    summary = analysis.summary
    # The keys are in order, and user data, the same in every row, is encoded once: "_id" < ... < "toMs" < "userData".
    rest = b',"userData":%s}\n' % orjson.dumps(summary.userData)
    before, number, lines = b"", 0, []
    for seen in sorted(analysis.occurrences, key=_order):
        row = {
            "fromMs": seen.fromMs,
            "group": seen.group,
            "instance": seen.instance,
            "jobId": summary.jobId,
            "kind": seen.kind,
            "name": seen.name,
            "score": seen.score,
            "toMs": seen.toMs,
        }
        content = orjson.dumps(row)[1:-1]
        number = number + 1 if content == before else 0  # rows that are alike come one after the other
        before = content
        identity = sha256(b"%d,%s" % (number, content)).hexdigest()[:32].encode()
        lines.append(b'{"_id":"%s",%s%s' % (identity, content, rest))
    return b"".join(lines)


def _order(row: Occurrence) -> tuple[int, int, str, str, str, int, float]:
    score = -1.0 if row.score is None else row.score
    return row.fromMs, row.toMs, row.kind, row.group, row.name, row.instance, score
