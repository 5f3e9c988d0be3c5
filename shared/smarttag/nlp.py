"""NLP: what a language model made of the speech. Times are milliseconds."""

from __future__ import annotations

from shared.smarttag.draft import Draft, Speech
from shared.smarttag.model import Chapter
from shared.smarttag.notes import Item, Json

_FIELDS = frozenset(
    {"transcription", "autoChapters", "summarization", "meetingAssistance", "translation", "success", "message"}
)


def nlp(data: Item, path: str, draft: Draft) -> bool:
    """Read one NLP. Return whether it held anything."""
    notes = draft.notes
    notes.unknown_fields(data, _FIELDS, path)
    speech = draft.nlp = draft.nlp or Speech()
    _chapters(data.get("autoChapters"), f"{path}.autoChapters", draft)
    _summaries(notes.object(data.get("summarization"), f"{path}.summarization"), f"{path}.summarization", speech, draft)
    _minutes(
        notes.object(data.get("meetingAssistance"), f"{path}.meetingAssistance"),
        f"{path}.meetingAssistance",
        speech,
        draft,
    )
    translation = notes.object(data.get("translation"), f"{path}.translation")
    for where, paragraph in notes.items(translation.get("paragraphs"), f"{path}.translation.paragraphs"):
        speech.translation += _texts(paragraph.get("sentences"), f"{where}.sentences", draft)
    return any(data.get(name) for name in _FIELDS - {"success", "message"})


def _chapters(value: Json, path: str, draft: Draft) -> None:
    notes = draft.notes
    for where, item in notes.items(value, path):
        headline, summary = (notes.text(item.get(key), f"{where}.{key}") for key in ("headline", "summary"))
        span = notes.range(item, where, per_unit=1)
        if span is not None:
            draft.chapters.append(Chapter(*span, headline, summary))
            draft.saw("chapter", headline, "", span)


def _summaries(value: Item, path: str, speech: Speech, draft: Draft) -> None:
    notes = draft.notes
    summary = notes.text(value.get("paragraphSummary"), f"{path}.paragraphSummary")
    if summary:
        speech.summary.append(summary)
    speakers = {"id": "speakerId", "name": "speakerName", "summary": "summary"}
    speech.speakers += _records(value, "conversationalSummary", speakers, path, draft)
    questions = {"question": "question", "answer": "answer"}
    speech.questions += _records(value, "questionsAnsweringSummary", questions, path, draft)
    for where, item in notes.items(value.get("mindMapSummary"), f"{path}.mindMapSummary"):
        speech.topics.append(notes.text(item.get("title"), f"{where}.title"))


def _minutes(value: Item, path: str, speech: Speech, draft: Draft) -> None:
    notes = draft.notes
    speech.keywords += _texts(value.get("keywords"), f"{path}.keywords", draft)
    speech.keySentences += _texts(value.get("keySentences"), f"{path}.keySentences", draft)
    speech.actions += _texts(value.get("actions"), f"{path}.actions", draft)
    for name, score in notes.object(value.get("classifications"), f"{path}.classifications").items():
        number = notes.score(score, f"{path}.classifications.{name}")
        if number is not None:
            speech.scenes[name] = number


def _texts(value: Json, path: str, draft: Draft) -> list[str]:
    """Return the texts of a list of strings or of objects with ``text``, without empty ones and repeats."""
    texts = []
    for index, item in enumerate(draft.notes.array(value, path)):
        where = f"{path}[{index}]"
        texts.append(draft.notes.text(item.get("text") if isinstance(item, dict) else item, where))
    return list(dict.fromkeys(text for text in texts if text))


def _records(value: Item, name: str, keys: dict[str, str], path: str, draft: Draft) -> list[dict[str, str]]:
    """Return a list of objects with other names for their fields."""
    text = draft.notes.text
    return [
        {ours: text(item.get(theirs), f"{where}.{theirs}") for ours, theirs in keys.items()}
        for where, item in draft.notes.items(value.get(name), f"{path}.{name}")
    ]
