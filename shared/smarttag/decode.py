"""From the raw response to the summary: each result is decoded, read by its Type, and let go before the next."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from shared.smarttag import gc_pause
from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json, shown
from shared.smarttag.model import Analysis, ReadState, TypeState
from shared.smarttag.response import Envelope, loads, read_envelope
from shared.smarttag.results import concepts, links, nlp, speech_text, visual

READERS: dict[str, Callable[[Json, str, SummaryBuilder], bool]] = {
    "VideoLabel": visual.video,
    "ImageLabel": visual.image,
    "TextLabel": speech_text.text_label,
    "ASR": speech_text.asr,
    "OCR": speech_text.ocr,
    "Meta": speech_text.meta,
    "CPVLabel": concepts.cpv_label,
    "NLP": nlp.nlp,
    "Process": links.process,
    "Subtitle": links.subtitle,
}
_SPELLED = {name.lower(): name for name in READERS}
# Of several results of one Type, the worst state is reported.
_WORST: tuple[ReadState, ...] = ("empty", "ok", "failed", "unknown", "invalid")


def read(response: bytes, job_id: str, *, details: bool) -> Analysis:
    """Decode a raw response; without ``details`` the occurrences are left out.

    Raises:
        BadResponse: this is no QuerySmarttagJob response.
    """
    with gc_pause.paused():
        # All that was decoded is gone again before the collector is back and would walk it.
        return _read(response, job_id, SummaryBuilder(CheckedValues(), [] if details else None))


def _read(response: bytes, job_id: str, builder: SummaryBuilder) -> Analysis:
    job = read_envelope(response, builder.checked)
    types = _read_all(job, builder)
    if builder.transcription and not builder.segments:
        builder.segments = builder.transcription
        for segment in builder.transcription:
            builder.add_occurrence("speech", segment.text, "", (segment.fromMs, segment.toMs))
    if builder.segments is not None:
        builder.segments.sort(key=lambda segment: (segment.fromMs, segment.toMs))
    summary = builder.build(job, job_id, types)
    segments = None if builder.segments is None else tuple(builder.segments)
    return Analysis(summary, segments, tuple(builder.occurrences or ()))


def _read_all(job: Envelope, builder: SummaryBuilder) -> dict[str, TypeState]:
    states: dict[str, list[ReadState]] = {}
    for path, result in job.take():
        if not isinstance(result, dict):
            builder.checked.wrong(result, path, "a result")
            continue
        name = builder.checked.text(result.get("Type"), f"{path}.Type")
        name = _SPELLED.get(name.lower(), name)
        states.setdefault(name, []).append(_read_one(name, result, path, builder))
    return {name: TypeState(len(found), max(found, key=_WORST.index)) for name, found in states.items()}


def _read_one(name: str, result: Item, path: str, builder: SummaryBuilder) -> ReadState:
    """Read one result and return its state."""
    checked, reader, path = builder.checked, READERS.get(name), f"{path}.Data"
    if reader is None:
        checked.warn(
            "unknown-type", path, f"a result of Type {shown(name)!r}, which this version does not know; skipped"
        )
        return "unknown"
    try:
        data = _parse(result, path, checked)
    except orjson.JSONDecodeError:
        checked.warn("invalid-json", path, "not JSON; this result is left out")
        return "invalid"
    if reader is links.process:
        return "ok" if reader(data, path, builder) else "empty"
    data = {} if data is None or data == [] else data
    parts = [(path, data)] if isinstance(data, dict) else checked.items(data, path)
    if not parts:
        return "invalid"
    failed = [where for where, part in parts if part.get("success") is False]
    for where in failed:
        checked.warn("vendor-failed", where, "the vendor says that this part did not succeed")
    held = [reader(part, where, builder) for where, part in parts]
    return "ok" if any(held) else "failed" if failed else "empty"


def _parse(result: Item, path: str, checked: CheckedValues) -> Json:
    """Return what Data holds; it is taken out of the result so that text and content are never in memory together."""
    data = result.pop("Data", None)
    if not isinstance(data, str):
        return data
    if data[:8].lower().startswith(("http://", "https://")):
        return data
    text = data.encode()
    del data
    return loads(text, path, checked) if text.strip() else None
