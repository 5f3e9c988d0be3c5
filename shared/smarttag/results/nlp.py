"""NLP: what was made of the speech. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from shared.patterns import regex
from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json, shown, without_nul
from shared.smarttag.model import Chapter, Nlp, Range, Segment

CONTENT = ("transcription", "autoChapters", "summarization", "meetingAssistance", "translation")
# The letters and marks of the scripts that part their words with spaces: Latin, also that of Vietnam, Greek, Cyrillic,
# Armenian, Hebrew, Arabic, those of India, Georgian, Hangul.
_LETTERS = (
    "A-Za-z\u00c0-\u0373\u0376-\u037d\u037f-\u0558\u0560-\u0588\u0591-\u05bd\u05bf-\u05ea\u0620-\u065f"
    "\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\u0900-\u0963\u0971-\u0df3\u10a0-\u10ff\u1e00-\u1fff\uac00-\ud7a3"
)
# The last sign of a word and the first of the next. A point before a small letter is that of a host, one before a
# digit that of a number, like a comma or colon.
_SPACE_BETWEEN = regex(
    f"[{_LETTERS}0-9][{_LETTERS}]|[{_LETTERS}][0-9]|[,;:!?)\u060c\u061b\u061f\u0964][{_LETTERS}]|[.][{_LETTERS}]"
)
_FIELDS = frozenset({*CONTENT, "success", "message"})


def nlp(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one NLP. Return whether it held anything."""
    checked, lost = builder.checked, builder.checked.lost
    checked.unknown_fields(data, _FIELDS, path)
    spoken = _transcription(data.get("transcription"), f"{path}.transcription", builder)
    before = len(builder.chapters)
    for where, item in checked.items(data.get("autoChapters"), f"{path}.autoChapters"):
        headline, summary = (checked.text(item.get(key), f"{where}.{key}") for key in ("headline", "summary"))
        span = checked.range(item, where, per_unit=1)
        if span is not None:
            builder.chapters.append(Chapter(*span, headline, summary))
            builder.add_occurrence("chapter", headline, "", span)
    read = Nlp(
        **_summaries(data.get("summarization"), f"{path}.summarization", checked),
        **_minutes(data.get("meetingAssistance"), f"{path}.meetingAssistance", checked),
        translation="\n".join(_translation(data.get("translation"), f"{path}.translation", checked)),
    )
    held = spoken or len(builder.chapters) > before or any(getattr(read, field.name) for field in fields(Nlp))
    if held or checked.lost == lost:
        builder.nlp = read if builder.nlp is None else _joined(builder.nlp, read)
    return held


def _transcription(value: Json, path: str, builder: SummaryBuilder) -> bool:
    """Put the words together to sentences, for a job that returns no other speech; return whether there were any."""
    checked, before = builder.checked, len(builder.transcription)
    item = checked.object(value, path)
    info = checked.object(item.get("audioInfo"), f"{path}.audioInfo")
    if info.get("duration") is not None:
        builder.audioMs = max(builder.audioMs, checked.ms(info["duration"], f"{path}.audioInfo.duration", 1) or 0)
    for where, paragraph in checked.items(item.get("paragraphs"), f"{path}.paragraphs"):
        words: list[tuple[Range, str, Json]] = []
        for at, word in checked.items(paragraph.get("words", paragraph), f"{where}.words"):
            span, text = checked.range(word, at, per_unit=1), checked.text(word.get("text"), f"{at}.text")
            sentence = word.get("sentenceId")
            if span is not None and text:
                words.append((span, text, sentence if isinstance(sentence, int | str) else None))
        join = _plain if any(text != text.strip() for _, text, _ in words) else _spaced
        for _, group in groupby(words, key=itemgetter(2)):
            spans, texts, _ = zip(*group, strict=True)
            spoken = join(texts)
            if spoken:
                builder.transcription.append(Segment(min(spans)[0], max(last for _, last in spans), spoken))
    return len(builder.transcription) > before


def _plain(words: Iterable[str]) -> str:
    """Join words that carry their spaces."""
    return "".join(words).strip()


def _spaced(words: Iterable[str]) -> str:
    """Join words that carry no spaces, though those of some scripts need them."""
    text = ""
    for word in words:
        pair = text[-1:] + word[0]
        host = pair[0] == "." and word[0].islower()
        text += " " + word if _SPACE_BETWEEN.fullmatch(pair) and not host else word
    return text


def _joined(first: Nlp, second: Nlp) -> Nlp:
    """Put two results into one: texts one below the other, lists one after the other."""
    values: dict[str, Any] = {}
    for field in fields(Nlp):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, str):
            values[field.name] = "\n".join(text for text in (one, two) if text)
        else:
            values[field.name] = one | two if isinstance(one, dict) else one + two
    return Nlp(**values)


def _summaries(value: Json, path: str, checked: CheckedValues) -> dict[str, Any]:
    item = checked.object(value, path)
    speakers = {"id": "speakerId", "name": "speakerName", "summary": "summary"}
    questions = {"question": "question", "answer": "answer"}
    named = {"speakers": ("conversationalSummary", speakers), "questions": ("questionsAnsweringSummary", questions)}
    return {
        "summary": checked.text(item.get("paragraphSummary"), f"{path}.paragraphSummary"),
        **{ours: _records(item.get(key), keys, f"{path}.{key}", checked) for ours, (key, keys) in named.items()},
        "topics": tuple(_titles(item.get("mindMapSummary"), f"{path}.mindMapSummary", checked)),
    }


def _titles(value: Json, path: str, checked: CheckedValues) -> Iterator[str]:
    """Yield the titles of the mind map, each before those below it."""
    left = checked.items(value, path)[::-1]
    while left:  # it may be too deep to call oneself
        where, item = left.pop()
        if title := checked.text(item.get("title"), f"{where}.title"):
            yield title
        left += checked.items(item.get("topic"), f"{where}.topic")[::-1]


def _minutes(value: Json, path: str, checked: CheckedValues) -> dict[str, Any]:
    item = checked.object(value, path)
    lists = {key: _texts(item.get(key), f"{path}.{key}", checked) for key in ("keywords", "keySentences", "actions")}
    scores = checked.object(item.get("classifications"), f"{path}.classifications").items()
    scenes = {
        without_nul(name): checked.score(score, f"{path}.classifications.{shown(name)}") for name, score in scores
    }
    return {**lists, "scenes": {name: score for name, score in scenes.items() if score is not None}}


def _translation(value: Json, path: str, checked: CheckedValues) -> list[str]:
    paragraphs = checked.items(checked.object(value, path).get("paragraphs"), f"{path}.paragraphs")
    return [
        text
        for where, paragraph in paragraphs
        for text in _texts(paragraph.get("sentences"), f"{where}.sentences", checked)
    ]


def _texts(value: Json, path: str, checked: CheckedValues) -> tuple[str, ...]:
    """Return the texts of a list of strings or of objects with ``text``, without empty ones."""
    texts = (_text(item, f"{path}[{index}]", checked) for index, item in enumerate(checked.array(value, path)))
    return tuple(filter(None, texts))


def _text(item: Json, path: str, checked: CheckedValues) -> str:
    if isinstance(item, str) and item.lstrip().startswith("{"):
        item = checked.unwrapped(item, path)
    return checked.text(item.get("text") if isinstance(item, dict) else item, path)


def _records(value: Json, keys: dict[str, str], path: str, checked: CheckedValues) -> tuple[dict[str, str], ...]:
    """Return a list of objects with our names for their fields."""
    return tuple(
        {ours: checked.text(item.get(theirs), f"{where}.{theirs}") for ours, theirs in keys.items()}
        for where, item in checked.items(value, path, keys.values())
    )
