"""``timeline.ndjson``: one row per appearance, for databases and search indexes; docs/timeline.md explains it."""

from __future__ import annotations

from hashlib import sha256

import orjson

from shared.smarttag.checked_values import NO_SCORE
from shared.smarttag.model import Analysis


def rows(analysis: Analysis) -> bytes:
    """Return one JSON object per line, in the order of time.

    ``_id`` is a hash of job and row; rows that are alike in everything are told apart by a running number. So the same
    job always has the same rows, in whatever order the vendor listed them, and loading them again replaces them.
    """
    summary, described = analysis.summary, dict[tuple[str, str, str, int], bytes]()
    # The keys are in order, and what many rows share is encoded once: "_id" < "fromMs" < "group" ... < "userData".
    rest = b',"userData":%s}\n' % orjson.dumps(summary.userData)
    before, number, lines = b"", 0, []
    for first, last, kind, group, name, instance, score in sorted(analysis.occurrences):
        thing = described.get((kind, group, name, instance))
        if thing is None:
            fields = {"group": group, "instance": instance, "jobId": summary.jobId, "kind": kind, "name": name}
            thing = described[kind, group, name, instance] = orjson.dumps(fields)[1:-1]
        known = orjson.dumps(None if score == NO_SCORE else score)
        content = b'"fromMs":%d,%s,"score":%s,"toMs":%d' % (first, thing, known, last)
        number = number + 1 if content == before else 0  # rows that are alike come one after the other
        before = content
        identity = sha256(b"%d,%s" % (number, content)).hexdigest()[:32].encode()
        lines.append(b'{"_id":"%s",%s%s' % (identity, content, rest))
    return b"".join(lines)
