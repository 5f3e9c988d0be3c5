"""NLP: what was made of the speech. Times are milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from shared.smarttag.builder import Draft
from shared.smarttag.checked_values import Item, Json, Notes, shown
from shared.smarttag.model import Chapter, Nlp, Range, Segment

_CONTENT = ("transcription", "autoChapters", "summarization", "meetingAssistance", "translation")
_LATIN = re.compile("[A-Za-z0-9,.;:!?][A-Za-z0-9]")  # the last sign of a word and the first of the next
_FIELDS = frozenset({*_CONTENT, "success", "message"})


def nlp(data: Item, path: str, draft: Draft) -> bool:
    """Read one NLP. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _FIELDS, path)
    _dictated(data.get("transcription"), f"{path}.transcription", draft)
    for where, item in notes.items(data.get("autoChapters"), f"{path}.autoChapters"):
        headline, summary = (notes.text(item.get(key), f"{where}.{key}") for key in ("headline", "summary"))
        span = notes.range(item, where, per_unit=1)
        if span is not None:
            draft.chapters.append(Chapter(*span, headline, summary))
            draft.saw("chapter", headline, "", span)
    read = Nlp(
        **_summaries(notes.object(data.get("summarization"), f"{path}.summarization"), f"{path}.summarization", notes),
        **_minutes(
            notes.object(data.get("meetingAssistance"), f"{path}.meetingAssistance"), f"{path}.meetingAssistance", notes
        ),
        translation="\n".join(_translation(data.get("translation"), f"{path}.translation", notes)),
    )
    draft.nlp = read if draft.nlp is None else _joined(draft.nlp, read)
    return any(data.get(name) for name in _CONTENT)


def _dictated(value: Json, path: str, draft: Draft) -> None:
    """Put the words of the transcription together to sentences, for a job that returns no other speech."""
    notes = draft.notes
    for where, paragraph in notes.items(notes.object(value, path).get("paragraphs"), f"{path}.paragraphs"):
        words: list[tuple[Range, str, Json]] = []
        for at, word in notes.items(paragraph.get("words"), f"{where}.words"):
            span, text = notes.range(word, at, per_unit=1), notes.text(word.get("text"), f"{at}.text")
            sentence = word.get("sentenceId")
            if span is not None and text:
                words.append((span, text, sentence if isinstance(sentence, int | str) else None))
        for _, group in groupby(words, key=itemgetter(2)):
            spans, texts, _ = zip(*group, strict=True)
            spoken = _sentence(texts)
            if spoken:
                draft.dictated.append(Segment(min(spans)[0], max(last for _, last in spans), spoken))


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


def _summaries(value: Item, path: str, notes: Notes) -> dict[str, Any]:
    speakers = {"id": "speakerId", "name": "speakerName", "summary": "summary"}
    questions = {"question": "question", "answer": "answer"}
    topics = _records(value.get("mindMapSummary"), {"title": "title"}, f"{path}.mindMapSummary", notes)
    return {
        "summary": notes.text(value.get("paragraphSummary"), f"{path}.paragraphSummary"),
        "speakers": _records(value.get("conversationalSummary"), speakers, f"{path}.conversationalSummary", notes),
        "questions": _records(
            value.get("questionsAnsweringSummary"), questions, f"{path}.questionsAnsweringSummary", notes
        ),
        "topics": tuple(topic["title"] for topic in topics),
    }


def _minutes(value: Item, path: str, notes: Notes) -> dict[str, Any]:
    lists = {name: _texts(value.get(name), f"{path}.{name}", notes) for name in ("keywords", "keySentences", "actions")}
    scores = notes.object(value.get("classifications"), f"{path}.classifications").items()
    scenes = {name: notes.score(score, f"{path}.classifications.{shown(name)}") for name, score in scores}
    return {**lists, "scenes": {name: score for name, score in scenes.items() if score is not None}}


def _translation(value: Json, path: str, notes: Notes) -> list[str]:
    paragraphs = notes.items(notes.object(value, path).get("paragraphs"), f"{path}.paragraphs")
    return [
        text
        for where, paragraph in paragraphs
        for text in _texts(paragraph.get("sentences"), f"{where}.sentences", notes)
    ]


def _texts(value: Json, path: str, notes: Notes) -> tuple[str, ...]:
    """Return the texts of a list of strings or of objects with ``text``, without empty ones."""
    items = [item.get("text") if isinstance(item, dict) else item for item in notes.array(value, path)]
    return tuple(filter(None, (notes.text(item, f"{path}[{index}]") for index, item in enumerate(items))))


def _records(value: Json, keys: dict[str, str], path: str, notes: Notes) -> tuple[dict[str, str], ...]:
    """Return a list of objects with our names for their fields."""
    return tuple(
        {ours: notes.text(item.get(theirs), f"{where}.{theirs}") for ours, theirs in keys.items()}
        for where, item in notes.items(value, path)
    )
