"""Decoding with json and validating with pydantic models: what one writes where types matter and speed does not."""

from __future__ import annotations

import json
from collections.abc import Callable

from pydantic import BaseModel, Field


class Position(BaseModel):
    """A box."""

    leftTop: tuple[int, int]
    rightBottom: tuple[int, int]


class Sight(BaseModel):
    """One appearance of a tag."""

    start: float = Field(alias="from")
    end: float = Field(alias="to")
    score: float


class Face(Sight):
    """One appearance of a person."""

    position: Position
    scene: str
    timestamp: float


class Person(BaseModel):
    """A person."""

    name: str
    category: str
    ratio: float
    occurrences: list[Face]


class Tag(BaseModel):
    """A tag."""

    mainTagName: str
    subTagName: str
    ratio: float
    occurrences: list[Sight]


class VideoLabel(BaseModel):
    """The Data of a VideoLabel."""

    persons: list[Person]
    tags: list[Tag]


class Text(BaseModel):
    """A text on a frame."""

    content: str
    position: Position
    score: float
    textType: str


class Frame(BaseModel):
    """A frame."""

    timestamp: float
    info: list[Text]


class Ocr(BaseModel):
    """The Data of an OCR."""

    details: list[Frame]


def decoder(kind: str) -> Callable[[bytes], object]:
    """Return what decodes the Data of a VideoLabel, or else of an OCR."""
    model: type[BaseModel] = VideoLabel if kind == "VideoLabel" else Ocr
    return lambda data: model.model_validate(json.loads(data))
