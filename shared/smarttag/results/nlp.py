"""NLP: what was made of the speech. Times are milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import CheckedValues, Item, Json, shown
from shared.smarttag.model import Chapter, Nlp, Range, Segment

_CONTENT = ("transcription", "autoChapters", "summarization", "meetingAssistance", "translation")
_LATIN = re.compile("[A-Za-z0-9,.;:!?][A-Za-z0-9]")  # the last sign of a word and the first of the next
_FIELDS = frozenset({*_CONTENT, "success", "message"})


def nlp(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one NLP. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, _FIELDS, path)
    _dictated(data.get("transcription"), f"{path}.transcription", builder)
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
    builder.nlp = read if builder.nlp is None else _joined(builder.nlp, read)
    return any(data.get(name) for name in _CONTENT)


def _dictated(value: Json, path: str, builder: SummaryBuilder) -> None:
    """Put the words of the transcription together to sentences, for a job that returns no other speech."""
    checked = builder.checked
    for where, paragraph in checked.items(checked.object(value, path).get("paragraphs"), f"{path}.paragraphs"):
        words: list[tuple[Range, str, Json]] = []
        for at, word in checked.items(paragraph.get("words"), f"{where}.words"):
            span, text = checked.range(word, at, per_unit=1), checked.text(word.get("text"), f"{at}.text")
            sentence = word.get("sentenceId")
            if span is not None and text:
                words.append((span, text, sentence if isinstance(sentence, int | str) else None))
        for _, group in groupby(words, key=itemgetter(2)):
            spans, texts, _ = zip(*group, strict=True)
            spoken = _sentence(texts)
            if spoken:
                builder.transcription.append(Segment(min(spans)[0], max(last for _, last in spans), spoken))


def _sentence(words: Iterable[str]) -> str:
    """Join words; the vendor writes no spaces between them, and Latin ones need them."""
    parts: list[str] = []
    for word in words:
        if parts and _LATIN.fullmatch(parts[-1][-1] + word[0]):
            parts.append(" ")
        parts.append(word)
    return "".join(parts).strip()


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
    topics = _records(item.get("mindMapSummary"), {"title": "title"}, f"{path}.mindMapSummary", checked)
    return {
        "summary": checked.text(item.get("paragraphSummary"), f"{path}.paragraphSummary"),
        **{ours: _records(item.get(key), keys, f"{path}.{key}", checked) for ours, (key, keys) in named.items()},
        "topics": tuple(topic["title"] for topic in topics),
    }


def _minutes(value: Json, path: str, checked: CheckedValues) -> dict[str, Any]:
    item = checked.object(value, path)
    lists = {key: _texts(item.get(key), f"{path}.{key}", checked) for key in ("keywords", "keySentences", "actions")}
    scores = checked.object(item.get("classifications"), f"{path}.classifications").items()
    scenes = {name: checked.score(score, f"{path}.classifications.{shown(name)}") for name, score in scores}
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
    items = [item.get("text") if isinstance(item, dict) else item for item in checked.array(value, path)]
    return tuple(filter(None, (checked.text(item, f"{path}[{index}]") for index, item in enumerate(items))))


def _records(value: Json, keys: dict[str, str], path: str, checked: CheckedValues) -> tuple[dict[str, str], ...]:
    """Return a list of objects with our names for their fields."""
    return tuple(
        {ours: checked.text(item.get(theirs), f"{where}.{theirs}") for ours, theirs in keys.items()}
        for where, item in checked.items(value, path)
    )
