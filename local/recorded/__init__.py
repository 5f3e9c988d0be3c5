"""Recorded jobs for the demo and the tests: what QuerySmarttagJob answers, one job of every kind.

``documented`` is the example of the API reference as it stands; the others are made after its field tables, with
invented names and places. ``large`` is generated, always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

SHOWN = "rich"  # the job whose report the demo opens, and the pictures of the documentation show
_DESCRIPTIONS = {
    "documented": "the example of the API reference: persons, one tag, text tags",
    "image": "ImageLabel: persons and tags of a picture",
    "asr": "ASR and TextLabel: speech with its text tags",
    "ocr": "OCR: text on screen, frame by frame",
    "cpv": "CPVLabel: concepts with knowledge, as tagging 2.0 returns them",
    "meta": "Meta: the title",
    "nlp": "NLP: chapters, summary, key sentences, translation",
    "process": "Process: a link to the raw results",
    "subtitle": "Subtitle: links to subtitle files",
    "unknown-type": "a Type that does not exist yet",
    "fail": "a job that failed",
    "processing": "a job that is still running",
    "submitted": "a job that waits",
    "rich": "everything at once: what an editor's programme looks like",
    "odd": "everything that is a little wrong at once",
    "large": "80 rows with 12,000 appearances in two hours",
}


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """One answer of QuerySmarttagJob."""

    name: str
    job_id: str
    description: str

    @property
    def response(self) -> bytes:
        """Return the bytes MPS would send."""
        if self.name == "large":
            return _large()
        return (Path(__file__).parent / f"{self.name}.json").read_bytes()


def jobs() -> dict[str, RecordedJob]:
    """Return every recorded job by name; job IDs are 32 hexadecimal digits, always the same."""
    return {
        # The documented request names this job.
        name: RecordedJob(name, "88c6ca184c0e47098a5b665e2a126797" if index == 0 else f"{index:032x}", description)
        for index, (name, description) in enumerate(_DESCRIPTIONS.items())
    }


def _large(rows: int = 80, each: int = 150, duration: int = 7200) -> bytes:
    """Return a VideoLabel of ``rows`` persons and tags with ``each`` appearances, on the 40 ms grid of 25 frames/s."""
    frames = duration * 25
    state = 20260101

    def below(limit: int) -> int:
        nonlocal state  # a generator of our own: the same numbers on every Python
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % limit

    def occurrences(*, face: bool) -> list[dict[str, object]]:
        found = []
        for first in sorted(below(frames - 250) for _ in range(each)):
            last = first + 5 + below(245)
            row: dict[str, object] = {"from": first / 25, "to": last / 25, "score": round(0.6 + below(400) / 1000, 3)}
            if face:
                scene = ("closeUp", "medium-closeUp", "medium", "medium-long")[below(4)]
                x, y = below(900), below(400)
                box = {"leftTop": [x, y], "rightBottom": [x + 120, y + 160]}
                row |= {"timestamp": (first + last) // 2 / 25, "scene": scene, "position": box}
            found.append(row)
        return found

    def ratio(found: list[dict[str, object]]) -> float:
        return round(sum(float(str(row["to"])) - float(str(row["from"])) for row in found) / duration, 3)

    persons, tags = [], []
    for index in range(rows // 2):
        faces, sights = occurrences(face=True), occurrences(face=False)
        known = index % 5 in {0, 1, 2}
        person = {"name": f"示例人物{index + 1}" if known else f"未知人脸{index + 1}", "ratio": ratio(faces)}
        persons.append(person | {"category": "celebrity" if known else "unknown", "occurrences": faces})
        group, name = ("场景", "物体", "动作事件", "地域")[index % 4], f"示例标签{index + 1}"
        tags.append({"mainTagName": group, "subTagName": name, "ratio": ratio(sights), "occurrences": sights})
    data = orjson.dumps({"persons": persons, "tags": tags, "message": "SUCCESS", "success": True}).decode()
    result = {"Type": "VideoLabel", "Data": data}
    return orjson.dumps({"JobStatus": "Success", "Results": {"Result": [result]}, "UserData": "large", "Message": ""})
