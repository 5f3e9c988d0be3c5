"""Results as large as real ones, always the same: the seeds are fixed."""

from __future__ import annotations

import random
from math import ceil
from typing import Any

import orjson

FACES, SIGHTS = 458, 105  # appearances of one person, of one tag


def video(megabytes: float) -> bytes:
    """Return a VideoLabel of about so many MB."""
    luck = random.Random(1)
    persons, tags = ceil(13.2 * megabytes), ceil(32.9 * megabytes)

    def appearances(count: int, *, face: bool) -> list[dict[str, Any]]:
        found = []
        for frame in sorted(luck.randrange(14_400 * 25) for _ in range(count)):
            row: dict[str, Any] = {"from": round(frame * 0.04, 2), "to": round((frame + luck.randrange(100)) * 0.04, 2)}
            row["score"] = luck.randrange(1000) / 1000
            if face:
                x, y = luck.randrange(900), luck.randrange(500)
                row["position"] = {"leftTop": [x, y], "rightBottom": [x + luck.randrange(300), y + 200]}
                row |= {"scene": luck.choice(("closeUp", "medium-closeUp", "medium")), "timestamp": row["from"] + 0.04}
            found.append(row)
        return found

    people = [{"name": f"人物{i}", "category": "celebrity", "ratio": 0.1} for i in range(persons)]
    things = [{"mainTagName": "场景", "subTagName": f"标签{i}", "ratio": 0.1} for i in range(tags)]
    return orjson.dumps(
        {
            "persons": [person | {"occurrences": appearances(FACES, face=True)} for person in people],
            "tags": [thing | {"occurrences": appearances(SIGHTS, face=False)} for thing in things],
        }
    )


def ocr(megabytes: float) -> bytes:
    """Return an OCR of about so many MB: frames of seven or eight boxes."""
    luck = random.Random(2)
    frames = ceil(1029 * megabytes)

    def text() -> str:
        return "".join(chr(luck.randrange(0x4E00, 0x6000)) for _ in range(luck.randrange(2, 14)))

    texts = [text() for _ in range(ceil(400 * megabytes))]

    def box() -> dict[str, Any]:
        x, y = luck.randrange(900), luck.randrange(500)
        position = {"leftTop": [x, y], "rightBottom": [x + 100, y + 20]}
        score = luck.randrange(1000) / 1000
        return {"content": luck.choice(texts), "position": position, "score": score, "textType": "0"}

    details = [{"timestamp": round(i * 0.28, 2), "info": [box() for _ in range(7 + i % 2)]} for i in range(frames)]
    return orjson.dumps({"details": details})


def envelope(data: dict[str, bytes]) -> bytes:
    """Return the response of a job with these results."""
    results = [{"Type": name, "Data": text.decode()} for name, text in data.items()]
    return orjson.dumps({"JobStatus": "Success", "Results": {"Result": results}, "UserData": ""})


def message(job_id: str) -> bytes:
    """Return a topic's message in JSON, of about 500 bytes."""
    inner = orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": "Success", "UserData": "x" * 60}).decode()
    outer = {"TopicOwner": "1" * 16, "TopicName": "smarttag-events", "SubscriptionName": "callback"}
    outer |= {"MessageId": "A" * 32, "PublishTime": "1700000000000", "MessageMD5": "B" * 32, "Message": inner}
    return orjson.dumps(outer | {"Subscriber": "1" * 16, "SigningCertURL": "https://example.com/" + "c" * 40})
