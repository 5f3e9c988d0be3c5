"""The parsing core, pure: from the bytes QuerySmarttagJob answered to everything a job leaves behind.

``summarise`` and ``analyse`` read the response; ``make_artifacts`` also writes the files. All three raise
``shared.errors.BadResponse`` where the bytes are no such response, and nothing else.
"""

from __future__ import annotations

from shared.smarttag import decode
from shared.smarttag.model import Analysis, Artifact, Summary

__all__ = ["Analysis", "Artifact", "Summary", "analyse", "make_artifacts", "summarise"]


def summarise(response: bytes, job_id: str = "") -> Summary:
    """Return the summary of a raw response (JSON; it does not name its own job)."""
    return decode.read(response, job_id, details=False).summary


def analyse(response: bytes, job_id: str = "") -> Analysis:
    """Return the summary with the speech segments and every single occurrence."""
    return decode.read(response, job_id, details=True)


def make_artifacts(response: bytes, job_id: str) -> tuple[Summary, tuple[Artifact, ...]]:
    """Return the summary and the files made from it: always the same bytes for the same response.

    Subtitles and transcript exist only where there is speech; ``response.json`` and ``manifest.json`` are the
    pipeline's.
    """
    from shared.smarttag import captions, report, timeline

    analysis = analyse(response, job_id)
    segments = analysis.segments
    files = {
        "summary.json": ("application/json", analysis.summary.to_json()),
        "timeline.ndjson": ("application/x-ndjson", timeline.rows(analysis)),
    }
    if segments:
        files["subtitles.vtt"] = ("text/vtt", captions.vtt(segments))
        files["subtitles.srt"] = ("application/x-subrip", captions.srt(segments))
        files["transcript.txt"] = ("text/plain", captions.transcript(segments))
    names = ("report.html", *files)
    files["report.html"] = ("text/html", report.render(analysis, names))
    return analysis.summary, tuple(
        Artifact(name, f"{content_type}; charset=utf-8", body) for name, (content_type, body) in sorted(files.items())
    )
