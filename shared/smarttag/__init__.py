"""The parsing core, pure: from the bytes QuerySmarttagJob answered to everything a job leaves behind.

``summarise`` and ``analyse`` read the response, and raise ``shared.errors.BadResponse`` where the bytes are none, and
nothing else; ``make_artifacts`` writes the files.
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


def make_artifacts(analysis: Analysis, beside: tuple[str, ...] = ()) -> tuple[Artifact, ...]:
    """Return the files made from an analysis: always the same bytes for the same response.

    Subtitles and transcript exist only where there is speech. ``beside`` names further files that will lie in the same
    place, for the report to link.
    """
    from shared.smarttag import report, timeline
    from shared.smarttag.captions import captions

    segments = analysis.segments
    files = {"summary.json": analysis.summary.to_json(), "timeline.ndjson": timeline.rows(analysis)}
    spoken = captions.transcript(segments or ())
    if segments and spoken:  # there may be nothing in it that can be read
        files |= {"subtitles.vtt": captions.vtt(segments), "subtitles.srt": captions.srt(segments)}
        files["transcript.txt"] = spoken
    names = ("report.html", *files, *beside)
    files["report.html"] = report.render(analysis, names)
    return tuple(Artifact(name, body) for name, body in sorted(files.items()))
