"""Decoding to declared types with msgspec: no objects but those declared, so about the least that decoding can cost."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Position(msgspec.Struct):
    """A box."""

    leftTop: tuple[int, int]
    rightBottom: tuple[int, int]


class Face(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """One appearance of a person."""

    start: float
    end: float
    score: float
    position: Position
    scene: str
    timestamp: float


class Sight(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """One appearance of a tag."""

    start: float
    end: float
    score: float


class Person(msgspec.Struct):
    """A person."""

    name: str
    category: str
    ratio: float
    occurrences: list[Face]


class Tag(msgspec.Struct):
    """A tag."""

    mainTagName: str
    subTagName: str
    ratio: float
    occurrences: list[Sight]


class VideoLabel(msgspec.Struct):
    """The Data of a VideoLabel."""

    persons: list[Person]
    tags: list[Tag]


class Text(msgspec.Struct):
    """A text on a frame."""

    content: str
    position: Position
    score: float
    textType: str


class Frame(msgspec.Struct):
    """A frame."""

    timestamp: float
    info: list[Text]


class Ocr(msgspec.Struct):
    """The Data of an OCR."""

    details: list[Frame]


def decoder(kind: str) -> Callable[[bytes], object]:
    """Return what decodes the Data of a VideoLabel, or else of an OCR."""
    return msgspec.json.Decoder(VideoLabel if kind == "VideoLabel" else Ocr).decode
