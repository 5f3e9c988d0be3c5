"""From the raw response to the summary: each result is decoded, read by its Type, and let go before the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from shared.smarttag import gc_pause, long_lists
from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json, shown
from shared.smarttag.long_lists import LongLists, NotAsGuessed
from shared.smarttag.model import Analysis, ReadState, TypeState
from shared.smarttag.response import Envelope, read_envelope
from shared.smarttag.results import concepts, links, nlp, ocr, speech_text, visual

Reader = Callable[[Json, str, SummaryBuilder], bool]  # returns whether the result held anything that could be read
READERS: dict[str, Reader] = {
    "VideoLabel": visual.video,
    "ImageLabel": visual.image,
    "TextLabel": speech_text.text_label,
    "ASR": speech_text.asr,
    "OCR": ocr.ocr,
    "Meta": speech_text.meta,
    "CPVLabel": concepts.cpv_label,
    "NLP": nlp.nlp,
    "Process": links.process,
    "Subtitle": links.subtitle,
}
_CONTAINERS = {"persons", "tags", "classifications", "details", *concepts.KINDS, *nlp.CONTENT}  # hold lists or objects
_ROWS = {"ASR": "details", "OCR": "details", "TextLabel": "tags"}  # hold rows and nothing else
_LINKED = {"Process", "Subtitle"}  # hold links anyway
_SPELLED = {name.lower(): name for name in READERS}
# Of several results of one Type, the worst state is reported.
_WORST: tuple[ReadState, ...] = ("empty", "ok", "failed", "unknown", "invalid")


def read(response: bytes, job_id: str, *, details: bool, batch: int = long_lists.BATCH) -> Analysis:
    """Decode a raw response; without ``details`` the occurrences are left out.

    ``batch`` is about how many bytes of a long list are decoded at once.

    Raises:
        BadResponse: this is no QuerySmarttagJob response.
    """
    with gc_pause.paused():
        # All that was decoded is gone again before the collector is back and would walk it.
        cuts = long_lists.find(response, batch)
        if cuts:
            with suppress(NotAsGuessed):
                return _read(LongLists(response, cuts), job_id, details=details)
        return _read(LongLists(response), job_id, details=details)


def _read(lists: LongLists, job_id: str, *, details: bool) -> Analysis:
    builder = SummaryBuilder(CheckedValues(), [] if details else None)
    job = read_envelope(lists, builder.checked)
    types = _read_all(job, lists, builder)
    if lists.missing:
        raise NotAsGuessed
    builder.complete()
    summary = builder.build(job, job_id, types)
    segments = None if builder.segments is None else tuple(builder.segments)
    return Analysis(summary, segments, tuple(builder.occurrences or ()))


def _read_all(job: Envelope, lists: LongLists, builder: SummaryBuilder) -> dict[str, TypeState]:
    states: dict[str, list[ReadState]] = {}
    for path, raw in job.take():
        result = builder.checked.unwrapped(raw, path)
        if not isinstance(result, dict):
            builder.checked.wrong(result, path, "a result")
            continue
        spelled = {member.lower(): member for member in result}  # SDKs of the vendor begin them with a small letter
        kind, data = spelled.get("type", "Type"), spelled.get("data", "Data")
        name = builder.checked.text(result.get(kind), f"{path}.{kind}").strip()
        name = _SPELLED.get(name.lower(), name)
        result["Data"] = result.pop(data, None)
        states.setdefault(name, []).append(_read_one(name, result, f"{path}.{data}", lists, builder))
    return {name: TypeState(len(found), max(found, key=_WORST.index)) for name, found in states.items()}


def _read_one(name: str, result: Item, path: str, lists: LongLists, builder: SummaryBuilder) -> ReadState:
    """Read one result and return its state."""
    checked, reader = builder.checked, READERS.get(name)
    if reader is None and not links.is_url(result.get("Data")):
        message = f"a result of Type {shown(name)!r}, which this version does not know; skipped"
        checked.warn("unknown-type", path, message)
        return "unknown"
    try:
        data = _take_data(result, path, lists, checked)
    except json.JSONDecodeError:
        checked.warn("invalid-json", path, "not JSON; this result is left out")
        return "invalid"
    if reader is None or (name not in _LINKED and links.is_url(data)):
        links.elsewhere(name, "", data, path, builder)
        return "unknown" if reader is None else "invalid"
    lost = checked.lost
    if not isinstance(data, dict) and (name == "Process" or links.is_url(data)):
        held, failed = reader(data, path, builder), False
    else:
        held, failed = _read_parts(name, {} if data in (None, "", []) else data, path, builder)
    return "ok" if held else "failed" if failed else "invalid" if checked.lost > lost else "empty"


def _read_parts(name: str, data: Json, path: str, builder: SummaryBuilder) -> tuple[bool, bool]:
    """Read an object, or each of a list; return whether anything was held, and whether the vendor says it failed."""
    checked = builder.checked
    parts = [(path, data)] if isinstance(data, dict) else checked.items(data, path)
    field = _ROWS.get(name, "")
    known = {field, "success", "message"}
    if field and isinstance(data, list) and parts and not any(known & part.keys() for _, part in parts):
        checked.warn("no-details", path, f"rows where an object that has them as {field} is documented; read as those")
        parts = [(path, {field: [part for _, part in parts]})]
    failed = [where for where, part in parts if part.get("success") is False]
    for where in failed:
        checked.warn("vendor-failed", where, "the vendor says that this part did not succeed")
    for where, part in parts if name not in _LINKED else ():
        for field in [field for field in part if field in _CONTAINERS and links.is_url(part[field])]:
            links.elsewhere(name, field, part[field], f"{where}.{field}", builder)
    held = [READERS[name](part, where, builder) for where, part in parts]
    return any(held), bool(failed)


def _take_data(result: Item, path: str, lists: LongLists, checked: CheckedValues) -> Json:
    """Return what Data holds; it is taken out of the result so that text and content are never in memory together."""
    data = result.pop("Data", None)
    if isinstance(data, str) and not links.is_url(data):
        text = data.encode()
        del data
        data = checked.parse(text, path) if text.strip() else None
        lists.put_back(text, data)
        del text
    return checked.unwrapped(data, path)
