"""Where things lie in the object store, relative to ``OUTPUT_URL``; the only place that spells a key."""

from __future__ import annotations

import re

from shared.errors import BadInput

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

RESPONSE = "response.json"
SUMMARY = "summary.json"
MANIFEST = "manifest.json"


def check_job_id(job_id: str) -> str:
    """Return ``job_id``; raise ``BadInput`` unless it may become a key and a query parameter."""
    if not _JOB_ID.fullmatch(job_id):
        shown = ascii(job_id[:80])
        raise BadInput(f"job ID {shown} is not 1 to 64 characters of A-Z, a-z, 0-9, _ and -", jobId=shown)
    return job_id


def artifact(job_id: str, name: str) -> str:
    """Return the key of one artifact of a job."""
    return f"jobs/{check_job_id(job_id)}/{name}"
