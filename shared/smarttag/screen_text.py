"""Text on screen in the making: hundreds of thousands of boxes, kept as three columns of numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any
from unicodedata import ucd_3_2_0

from shared.patterns import regex
from shared.smarttag import model
from shared.smarttag.checked_values import NO_SCORE, Item, Json, without_nul
from shared.smarttag.ranges import MAX_MS, rounded

_CLOSE_MS = 2000  # frames no further apart show one text all the time between them
_PLAIN = regex("[!-~\u3001-\u3029\u3041-\u3094\u30a1-\u30fc\u4e00-\u9fa5]+")  # most texts, and all of it as it is
# Full-width signs to those they are the wide form of; nothing for signs of no width and marks of direction.
_FOLDED: dict[int, int | None] = {
    **{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)},
    **dict.fromkeys([0xAD, 0x61C, 0x180E, 0xFEFF]),
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]),
}


@dataclass(slots=True)
class ScreenTextBuilder:
    """Each box is an entry in every column: the number of its text, its time in ms, its score."""

    frames: int = 0
    texts: list[tuple[str, str | None]] = field(default_factory=list)  # by number: as first written, and its type
    numbers: array[int] = field(default_factory=lambda: array("L"))
    times: array[int] = field(default_factory=lambda: array("q"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    _folded: dict[str, int] = field(default_factory=dict)
    _spelled: dict[str, int] = field(default_factory=dict)

    def add(self, frames: list[Json], *, noted: bool = False) -> bool:
        """Take frames if all of them are as documented; return whether they were. This is the hot path of OCR.

        A NUL in a text has to be noted; where that is ``noted``, such a text is taken too.
        """
        try:
            times = [rounded(frame["timestamp"] * 1000) for frame in frames]
            found = [frame["info"] for frame in frames]
            boxes = list(chain.from_iterable(found))
            spelled, scores = [box["content"] for box in boxes], [box["score"] for box in boxes]
            odd = [score for score in scores if score < 0.0 and score != NO_SCORE]
        except (KeyError, TypeError):
            return False
        typed = (
            set(map(type, found)) <= {list} and set(map(type, spelled)) <= {str} and set(map(type, scores)) <= {float}
        )
        if odd or not typed or not all(0 <= at <= MAX_MS for at in times):
            return False
        numbers: list[Any] = list(map(self._spelled.get, spelled))
        for index, number in enumerate(numbers) if None in numbers else ():
            if number is None:
                numbers[index] = self._learned(spelled[index], boxes[index], noted=noted)
                if numbers[index] is None:
                    return False
        self.frames += len(frames)
        self.numbers.extend(numbers)
        self.times.extend(chain.from_iterable(map(repeat, times, map(len, found))))
        self.scores.extend(scores)
        return True

    def _learned(self, text: str, box: Item, *, noted: bool) -> int | None:
        """Return the number of a text in a spelling that is new, or None where there is something to note."""
        folded, kind = fold(text), box.get("textType", box.get("text_type"))
        kind = str(kind) if type(kind) is int else kind  # 0 (subtitle), 1 (rolling) or 2 (fixed), as text or number
        if not folded or ("\0" in text and not noted):
            return None
        if kind is not None and (type(kind) is not str or "\0" in kind):
            return None
        number = self._spelled[text] = self._folded.setdefault(folded, len(self.texts))
        if number == len(self.texts):
            self.texts.append((without_nul(text.strip()), kind or None))
        return number

    def ranges(self) -> Iterator[tuple[str, str | None, model.Range, float]]:
        """Yield text and type with the ranges in which it was seen and the best score of each, one text at a time."""
        sightings: list[list[tuple[int, float]]] = [[] for _ in self.texts]
        for number, at, score in zip(self.numbers, self.times, self.scores, strict=True):
            sightings[number].append((at, score))
        for (text, kind), seen in zip(self.texts, sightings, strict=True):
            for span, score in _joined(sorted(seen)):
                yield text, kind, span, score

    def build(self) -> model.ScreenText:
        """Return the distinct texts, the most frequent first."""
        size = len(self.texts)
        counts, first, last = array("L", [0]) * size, array("q", [MAX_MS]) * size, array("q", [0]) * size
        best = array("d", [NO_SCORE]) * size
        for number, at, score in zip(self.numbers, self.times, self.scores, strict=True):
            counts[number] += 1
            if at < first[number]:  # noqa: PLR1730 - calling min takes three times as long
                first[number] = at
            if at > last[number]:  # noqa: PLR1730 - as above
                last[number] = at
            if score > best[number]:  # noqa: PLR1730 - as above
                best[number] = score
        items = [
            model.ScreenTextItem(
                text,
                counts[number],
                first[number],
                last[number],
                None if best[number] == NO_SCORE else best[number],
                kind,
            )
            for number, (text, kind) in enumerate(self.texts)
        ]
        items.sort(key=lambda item: (-item.count, item.firstMs, item.text))
        return model.ScreenText(self.frames, len(self.numbers), len(items), tuple(items))


def _joined(sightings: list[tuple[int, float]]) -> Iterator[tuple[model.Range, float]]:
    """Yield the ranges that sightings in order make, each with its best score: frames close to each other are one."""
    first, last, best = None, 0, NO_SCORE
    for at, score in sightings:
        if first is not None and at - last > _CLOSE_MS:
            yield (first, last), best
            first, best = None, NO_SCORE
        first, last, best = at if first is None else first, at, max(best, score)
    if first is not None:
        yield (first, last), best


def fold(text: str) -> str:
    """Return what is the same for all spellings of a text: composed, of normal width, without blanks and unseen signs.

    The characters of Unicode 3.2 are composed, as they are in every Python.
    """
    if _PLAIN.fullmatch(text):
        return text
    return ucd_3_2_0.normalize("NFC", "".join(text.translate(_FOLDED).split()))
