"""TextLabel, ASR, OCR and Meta: what was said and what stood on screen."""

from __future__ import annotations

import re

from shared.smarttag.draft import Draft, Screen
from shared.smarttag.model import Segment
from shared.smarttag.notes import Item, Json, Notes

_COMMAS = re.compile("[,，]")  # noqa: RUF001 the full-width comma is what some vendors' values are split by
_DETAILS = frozenset({"details", "success", "message"})


def text_label(data: Item, path: str, draft: Draft) -> bool:
    """Read one TextLabel: names, each with values in one string. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, frozenset({"tags", "success", "message"}), path)
    found = notes.items(data.get("tags"), f"{path}.tags")
    for where, item in found:
        values = draft.textTags.setdefault(notes.text(item.get("name"), f"{where}.name"), {})
        raw = item.get("value")
        parts = raw if isinstance(raw, list) else [raw]
        for part in parts:
            for value in _COMMAS.split(notes.text(part, f"{where}.value")):
                if value.strip():
                    values[value.strip()] = None
    return bool(found)


def asr(data: Item, path: str, draft: Draft) -> bool:
    """Read one ASR: stretches of speech, in seconds. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _DETAILS, path)
    draft.segments = [] if draft.segments is None else draft.segments
    found = notes.items(data.get("details"), f"{path}.details")
    for where, item in found:
        span = notes.range(item, where)
        text = notes.text(item.get("content", item.get("text")), f"{where}.content")
        if span is None:
            continue
        if not text.strip():
            notes.add("no-text", where, "speech without words; dropped")
            continue
        draft.segments.append(Segment(*span, text))
        draft.saw("speech", text, "", span)
    return bool(found)


def ocr(data: Item, path: str, draft: Draft) -> bool:
    """Read one OCR: frames at a time in seconds, each with the texts found in it. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _DETAILS, path)
    screen = draft.screen = draft.screen or Screen()
    frames = notes.array(data.get("details"), f"{path}.details")
    for index, frame in enumerate(frames):
        where = f"{path}.details[{index}]"
        if not isinstance(frame, dict):
            notes.wrong(frame, where, "an object")
            continue
        at = notes.ms(frame.get("timestamp"), f"{where}.timestamp")
        if at is not None:
            screen.frames += 1
            _frame(notes.array(frame.get("info"), f"{where}.info"), f"{where}.info", at, screen, draft)
    return bool(frames)


def _frame(boxes: list[Json], path: str, at: int, screen: Screen, draft: Draft) -> None:
    """Add the texts of one frame. This is the hot path of OCR."""
    texts, notes = screen.texts, draft.notes
    for index, box in enumerate(boxes):
        try:
            text, score = box["content"], box["score"]
            plain = type(text) is str and type(score) is float and score >= 0.0
        except (KeyError, TypeError):
            plain = False
        if not plain:
            where = f"{path}[{index}]"
            if not isinstance(box, dict):
                notes.wrong(box, where, "an object")
                continue
            text = notes.text(box.get("content", box.get("text")), f"{where}.content")
            score = notes.score(box.get("score"), f"{where}.score")
        text = text.strip()
        if not text:
            notes.add("no-text", f"{path}[{index}]", "a box without text; dropped")
            continue
        screen.detections += 1
        facts = texts.get(text)
        if facts is None:
            facts = texts[text] = [1, at, at, score, _text_type(box, path, notes)]
        else:
            facts[0] += 1
            if at < facts[1]:
                facts[1] = at
            if at > facts[2]:
                facts[2] = at
            if score is not None and (facts[3] is None or score > facts[3]):
                facts[3] = score
        if draft.occurrences is not None:
            draft.saw("screenText", text, facts[4] or "", (at, at), score)


def _text_type(box: Item, path: str, notes: Notes) -> str | None:
    """Return 0 (subtitle), 1 (rolling) or 2 (fixed), as text; the vendor also writes a number."""
    value = box.get("textType", box.get("text_type"))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value is None else notes.text(value, f"{path}.textType")


def meta(data: Item, path: str, draft: Draft) -> bool:
    """Read one Meta: the title the job was submitted with. Return whether it held anything."""
    draft.notes.unknown_fields(data, frozenset({"title", "success", "message"}), path)
    title = draft.notes.text(data.get("title"), f"{path}.title")
    if title:
        draft.title = draft.title or title
    return bool(title)
