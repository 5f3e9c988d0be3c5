"""TextLabel, ASR, OCR and Meta: what was said and what stood on screen."""

from __future__ import annotations

import re

from shared.smarttag.builder import NO_SCORE, ScreenTextBuilder, SummaryBuilder, TextBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json
from shared.smarttag.model import Segment

_COMMAS = re.compile("[,，]")
_DETAILS = frozenset({"details", "success", "message"})


def text_label(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one TextLabel: names, each with values in one string. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, frozenset({"tags", "success", "message"}), path)
    found = checked.items(data.get("tags"), f"{path}.tags")
    for where, item in found:
        values = builder.textTags.setdefault(checked.text(item.get("name"), f"{where}.name"), {})
        raw = item.get("value")
        parts = raw if isinstance(raw, list) else [raw]
        for part in parts:
            for value in _COMMAS.split(checked.text(part, f"{where}.value")):
                if value.strip():
                    values[value.strip()] = None
    return bool(found)


def asr(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one ASR: stretches of speech, in seconds. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, _DETAILS, path)
    found = checked.items(data.get("details"), f"{path}.details")
    if not found and data.get("success") is False:  # then nobody knows whether anything was said
        return False
    builder.segments = [] if builder.segments is None else builder.segments
    for where, item in found:
        span = checked.range(item, where)
        text = checked.text(item.get("content", item.get("text")), f"{where}.content")
        if span is None:
            continue
        if not text.strip():
            checked.warn("no-text", where, "speech without words; dropped")
            continue
        builder.segments.append(Segment(*span, text))
        builder.add_occurrence("speech", text, "", span)
    return bool(found)


def ocr(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one OCR: frames at a time in seconds, each with the texts found in it. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, _DETAILS, path)
    details = checked.array(data.get("details"), f"{path}.details")
    if not details and data.get("success") is False:
        return False
    screen = builder.screen = builder.screen or ScreenTextBuilder()
    for index, frame in enumerate(details):
        where = f"{path}.details[{index}]"
        if not isinstance(frame, dict):
            checked.wrong(frame, where, "an object")
            continue
        at = checked.ms(frame.get("timestamp"), f"{where}.timestamp")
        if at is not None:
            screen.frames += 1
            _frame(checked.array(frame.pop("info", None), f"{where}.info"), f"{where}.info", at, screen, builder)
    return bool(details)


def _frame(boxes: list[Json], path: str, at: int, screen: ScreenTextBuilder, builder: SummaryBuilder) -> None:
    """Add the texts of one frame. This is the hot path of OCR."""
    checked, timeline, spelled = builder.checked, builder.occurrences is not None, screen.spelled
    for index, box in enumerate(boxes):
        try:
            text, score = box["content"], box["score"]
            plain = type(text) is str and type(score) is float and score >= 0.0
        except (KeyError, TypeError):
            plain = False
        if not plain:
            text, score = _odd(box, f"{path}[{index}]", checked)
        seen = spelled.get(text)
        if seen is None:
            if not text.strip():
                checked.warn("no-text", f"{path}[{index}]", "a box without text; dropped")
                continue
            new = TextBuilder(_text_type(box, f"{path}[{index}]", checked), at, at)
            seen = spelled[text] = screen.texts.setdefault(text.strip(), new)
        seen.count += 1
        if at > seen.lastMs:
            seen.lastMs = at
        elif at < seen.firstMs:
            seen.firstMs = at
        if score > seen.score:  # noqa: PLR1730 calling max takes three times as long
            seen.score = score
        if timeline:
            builder.add_occurrence(
                "screenText", text.strip(), seen.textType or "", (at, at), None if score == NO_SCORE else score
            )


def _odd(box: Json, path: str, checked: CheckedValues) -> tuple[str, float]:
    """Return text and score of a box that is not quite as documented; what was odd is noted."""
    item = checked.object(box, path)
    score = checked.score(item.get("score"), f"{path}.score")
    return checked.text(item.get("content", item.get("text")), f"{path}.content"), NO_SCORE if score is None else score


def _text_type(box: Item, path: str, checked: CheckedValues) -> str | None:
    """Return 0 (subtitle), 1 (rolling) or 2 (fixed), as text; the vendor also writes a number."""
    value = box.get("textType", box.get("text_type"))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked.text(value, f"{path}.textType") or None


def meta(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one Meta: the title the job was submitted with. Return whether it held anything."""
    builder.checked.unknown_fields(data, frozenset({"title", "success", "message"}), path)
    title = builder.checked.text(data.get("title"), f"{path}.title")
    if title:
        builder.title = builder.title or title
    return bool(title)
