"""OCR: the texts that stood on screen."""

from __future__ import annotations

from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import NO_SCORE, CheckedValues, Item, Json
from shared.smarttag.long_lists import batches
from shared.smarttag.screen_text import ScreenTextBuilder, fold


def ocr(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one OCR: frames at a time in seconds, each with the texts found in it. Return whether it held anything."""
    checked, lost, screen = builder.checked, builder.checked.lost, builder.screen or ScreenTextBuilder()
    frames, detections = screen.frames, len(screen.numbers)
    checked.unknown_fields(data, frozenset({"details", "success", "message"}), path)
    for first, batch in batches(data.get("details")):
        rows = checked.array(batch, f"{path}.details")
        if not screen.add(rows):
            for index, row in enumerate(rows, first):
                if not screen.add([row]):
                    screen.add(_repaired(row, f"{path}.details[{index}]", checked), noted=True)
        del batch, rows  # before the next batch is decoded
    held = len(screen.numbers) > detections or (screen.frames > frames and checked.lost == lost)
    if held or (checked.lost == lost and data.get("success") is not False):  # else nobody knows what stood there
        builder.screen = screen
    return held


def _repaired(raw: Json, path: str, checked: CheckedValues) -> list[Item]:
    """Return a frame as documented, or none where it has no time; what was odd is noted."""
    frame = checked.unwrapped(raw, path)
    if not isinstance(frame, dict):
        checked.wrong(frame, path, "an object")
        return []
    at = checked.ms(frame.get("timestamp"), f"{path}.timestamp")
    if at is None:
        return []
    info = frame.get("info", frame if "content" in frame else None)  # a frame that is its only box
    boxes = enumerate(checked.array(info, f"{path}.info"))
    repaired = [_box(box, f"{path}.info[{index}]", checked) for index, box in boxes]
    return [{"timestamp": at / 1000, "info": [box for box in repaired if box]}]  # rounds back to the same millisecond


def _box(raw: Json, path: str, checked: CheckedValues) -> Item | None:
    box = checked.object(raw, path)
    score = checked.score(box.get("score"), f"{path}.score")
    written = box.get("content", box.get("text"))
    text = checked.text(written, f"{path}.content")
    if not fold(text):
        checked.warn("no-text", path, "a box without text; dropped")
        return None
    kind = box.get("textType", box.get("text_type"))
    kind = str(kind) if type(kind) is int else checked.text(kind, f"{path}.textType")
    text = written if isinstance(written, str) else text  # one with a NUL is another text than one with U+FFFD
    return {"content": text, "score": NO_SCORE if score is None else score, "textType": kind}
