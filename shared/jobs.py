"""What a job is: its ID, its status, and the artifacts it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shared.errors import BadInput
from shared.patterns import regex

_JOB_ID = regex(r"[A-Za-z0-9_-]{1,64}")
JOB_ID_RULE = "1 to 64 characters of A-Z, a-z, 0-9, _ and -"


class JobStatus(str, Enum):
    """The status of a job as MPS spells it."""

    SUBMITTED = "Submitted"
    PROCESSING = "Processing"
    SUCCESS = "Success"
    FAIL = "Fail"

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more of its own accord."""
        return self in {JobStatus.SUCCESS, JobStatus.FAIL}


@dataclass(frozen=True, slots=True)
class ArtifactPolicy:
    """How one artifact is stored and served: ``inline`` in the browser or as a download; ``immutable`` for ever."""

    content_type: str
    inline: bool = False
    immutable: bool = False


RESPONSE, SUMMARY, REPORT, MANIFEST = "response.json", "summary.json", "report.html", "manifest.json"
ARTIFACTS = {
    SUMMARY: ArtifactPolicy("application/json", inline=True),
    REPORT: ArtifactPolicy("text/html; charset=utf-8", inline=True),
    "subtitles.vtt": ArtifactPolicy("text/vtt; charset=utf-8"),
    "subtitles.srt": ArtifactPolicy("application/x-subrip; charset=utf-8"),
    "transcript.txt": ArtifactPolicy("text/plain; charset=utf-8"),
    "timeline.ndjson": ArtifactPolicy("application/x-ndjson"),
    # the first final response stored is never replaced
    RESPONSE: ArtifactPolicy("application/json", immutable=True),
    MANIFEST: ArtifactPolicy("application/json", inline=True),
}


def is_job_id(text: str) -> bool:
    """Say whether a text may become a key and a query parameter."""
    return _JOB_ID.fullmatch(text) is not None


def check_job_id(job_id: str) -> str:
    """Return ``job_id``; raise ``BadInput`` unless it is one. Called once, where the value enters."""
    if not is_job_id(job_id):
        shown = ascii(job_id[:80])
        raise BadInput(f"job ID {shown} must be {JOB_ID_RULE}", jobId=shown)
    return job_id


def artifact_key(job_id: str, name: str) -> str:
    """Return where an artifact lies, relative to ``OUTPUT_URL``."""
    return f"jobs/{job_id}/{name}"
