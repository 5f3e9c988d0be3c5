"""TextLabel, ASR and Meta: what was said, and what it is about."""

from __future__ import annotations

from shared.patterns import regex
from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import Item
from shared.smarttag.model import Segment

_COMMAS = regex("[,，]")
_DETAILS = frozenset({"details", "success", "message"})


def text_label(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one TextLabel: names, each with values in one string. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, frozenset({"tags", "success", "message"}), path)
    held = False
    for where, item in checked.items(data.get("tags"), f"{path}.tags", ("value",)):
        name, raw = checked.text(item.get("name"), f"{where}.name").strip(), item.get("value")
        texts = (checked.text(part, f"{where}.value") for part in (raw if isinstance(raw, list) else [raw]))
        values = [stripped for text in texts for value in _COMMAS.split(text) if (stripped := value.strip())]
        if values:
            held = True
            builder.textTags.setdefault(name, {}).update(dict.fromkeys(values))
        else:
            checked.warn("no-text", where, "a tag without a value; dropped")
    return held


def asr(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one ASR: stretches of speech, in seconds. Return whether it held anything."""
    checked, lost, segments = builder.checked, builder.checked.lost, []
    checked.unknown_fields(data, _DETAILS, path)
    for where, item in checked.items(data.get("details"), f"{path}.details", ("content", "text")):
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


def meta(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one Meta: the title the job was submitted with. Return whether it held anything."""
    builder.checked.unknown_fields(data, frozenset({"title", "success", "message"}), path)
    title = builder.checked.text(data.get("title"), f"{path}.title")
    if title.strip():
        builder.title = builder.title or title
    return bool(title.strip())
