"""TextLabel, ASR, OCR and Meta: what was said and what stood on screen."""

from __future__ import annotations

from unicodedata import ucd_3_2_0

from shared.patterns import regex
from shared.smarttag.builder import NO_SCORE, ScreenTextBuilder, SummaryBuilder, TextBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json
from shared.smarttag.long_lists import batches
from shared.smarttag.model import Segment

_COMMAS = regex("[,，]")
_PLAIN = regex("[!-~\u3001-\u3029\u3041-\u3094\u30a1-\u30fc\u4e00-\u9fa5]+")  # most texts, and all of it as it is
# Full-width signs to those they are the wide form of; nothing for signs of no width and marks of direction.
_FOLDED: dict[int, int | None] = {
    **{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)},
    **dict.fromkeys([0xAD, 0x61C, 0x180E, 0xFEFF]),
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]),
}
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
    checked, lost, segments = builder.checked, builder.checked.lost, []
    checked.unknown_fields(data, _DETAILS, path)
    for where, item in checked.items(data.get("details"), f"{path}.details"):
        span = checked.range(item, where)
        text = checked.text(item.get("content", item.get("text")), f"{where}.content")
        if span is None:
            continue
        if not text.strip():
            checked.warn("no-text", where, "speech without words; dropped")
            continue
        segments.append(Segment(*span, text))
        builder.add_occurrence("speech", text, "", span)
    if segments or (checked.lost == lost and data.get("success") is not False):  # else nobody knows what was said
        builder.segments = [*(builder.segments or ()), *segments]
    return bool(segments)


def ocr(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one OCR: frames at a time in seconds, each with the texts found in it. Return whether it held anything."""
    checked, lost, screen = builder.checked, builder.checked.lost, builder.screen or ScreenTextBuilder()
    frames, detections = screen.frames, screen.detections()
    checked.unknown_fields(data, _DETAILS, path)
    for first, rows in batches(data.get("details")):
        for index, raw in enumerate(checked.array(rows, f"{path}.details"), first):
            where = f"{path}.details[{index}]"
            frame = raw if isinstance(raw, dict) else checked.unwrapped(raw, where)
            if not isinstance(frame, dict):
                checked.wrong(frame, where, "an object")
                continue
            at = checked.ms(frame.get("timestamp"), f"{where}.timestamp")
            if at is not None:
                screen.frames += 1
                boxes = checked.array(frame.pop("info", None), f"{where}.info")
                _frame(boxes, f"{where}.info", at, screen, builder)
        del rows  # before the next batch is decoded
    held = screen.detections() > detections or (screen.frames > frames and checked.lost == lost)
    if held or (checked.lost == lost and data.get("success") is not False):  # else nobody knows what stood there
        builder.screen = screen
    return held


def _frame(boxes: list[Json], path: str, at: int, screen: ScreenTextBuilder, builder: SummaryBuilder) -> None:
    """Add the texts of one frame. This is the hot path of OCR."""
    timeline, spelled = builder.occurrences is not None, screen.spelled
    for index, box in enumerate(boxes):
        try:
            text, score = box["content"], box["score"]
            documented = type(text) is str and type(score) is float and score >= 0.0
        except (KeyError, TypeError):
            documented = False
        if not documented:
            text, score = _odd(box, f"{path}[{index}]", builder.checked)
        seen = spelled.get(text)
        if seen is None:
            seen = _new_spelling(text, box, f"{path}[{index}]", at, screen, builder.checked)
            if seen is None:
                continue
        seen.count += 1
        if at > seen.lastMs:
            seen.lastMs = at
        elif at < seen.firstMs:
            seen.firstMs = at
        if score > seen.score:  # noqa: PLR1730 calling max takes three times as long
            seen.score = score
        if timeline:
            seen.sightings.append((at, score))


def _new_spelling(
    text: str, box: Json, path: str, at: int, screen: ScreenTextBuilder, checked: CheckedValues
) -> TextBuilder | None:
    """Return the text that a spelling stands for, a new one or one that was spelled otherwise."""
    folded = fold(text)
    if not folded:
        checked.warn("no-text", path, "a box without text; dropped")
        return None
    seen = screen.texts.get(folded)
    if seen is None:
        seen = TextBuilder(checked.text(text.strip(), path), _text_type(box, path, checked), at, at)
    screen.spelled[text] = screen.texts[folded] = seen
    return seen


def fold(text: str) -> str:
    """Return what is the same for all spellings of a text: composed, of normal width, without blanks and unseen signs.

    The characters of Unicode 3.2 are composed, as they are in every Python.
    """
    if _PLAIN.fullmatch(text):
        return text
    return ucd_3_2_0.normalize("NFC", "".join(text.translate(_FOLDED).split()))


def _odd(box: Json, path: str, checked: CheckedValues) -> tuple[str, float]:
    """Return text and score of a box that is not quite as documented; what was odd is noted."""
    item = checked.object(box, path)
    score = checked.score(item.get("score"), f"{path}.score")
    return checked.text(item.get("content", item.get("text")), f"{path}.content"), NO_SCORE if score is None else score


def _text_type(box: Json, path: str, checked: CheckedValues) -> str | None:
    """Return 0 (subtitle), 1 (rolling) or 2 (fixed), as text; the vendor also writes a number."""
    box = box if isinstance(box, dict) else CheckedValues().object(box, path)  # what was odd is noted already
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
