"""Hypothesis strategies for whole QuerySmarttagJob responses: as documented, and broken at any depth."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

GRID = 0.04  # seconds: the vendor's times lie on the frames of 25 a second
NASTY = (
    "万立骏",
    "</script><script>alert(1)</script>",
    "<b onload=x>&\"'",
    "-->",
    "\x00",
    "\u202etxt",
    "\ufeff",
    "a,b，c",
    " ",
    "",
    "NaN",
    "-1",
    "1e400",
    "{",
    "[]",
    "🧑‍🚀",
)
texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
frames = st.integers(0, 500)
scores = st.just(-1.0) | st.integers(0, 1000).map(lambda n: n / 1000)
ratios = st.integers(0, 1000).map(lambda n: n / 1000)
boxes = st.fixed_dictionaries({"leftTop": st.just([1, 2]), "rightBottom": st.just([3, 4])})


def seconds(frame: int) -> float:
    """Return the time of a frame as the vendor writes it."""
    return round(frame * GRID, 2)


@st.composite
def ranges(draw: st.DrawFn, begin: str = "from", end: str = "to", **more: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Return one appearance of up to 40 frames."""
    first = draw(frames)
    row = {begin: seconds(first), end: seconds(first + draw(st.integers(0, 40))), "score": draw(scores)}
    return row | {name: draw(value) for name, value in more.items()}


faces = ranges(
    timestamp=frames.map(seconds),
    scene=st.sampled_from(["closeUp", "medium-closeUp", "medium", "medium-long"]),
    position=boxes,
)
persons = st.fixed_dictionaries(
    {
        "name": texts,
        "category": st.sampled_from(["celebrity", "politician", "sensitive", "unknown", "lib-1"]),
        "ratio": ratios,
        "occurrences": st.lists(faces, max_size=5),
    }
)
tags = st.fixed_dictionaries(
    {"mainTagName": texts, "subTagName": texts, "ratio": ratios, "occurrences": st.lists(ranges(), max_size=5)}
)
concepts = st.fixed_dictionaries(
    {
        "labelLevel1": texts,
        "labelLevel2": st.sampled_from(["", "敏感人物", "政治人物,名人", "地标"]),
        "label": texts,
        "appearanceProbability": ratios,
        "detailInfo": st.lists(ranges("startTime", "endTime"), max_size=3),
        "knowledgeInfo": st.sampled_from(["", '{"name": "x"}', "{", "[1]"]),
    }
)
timed = st.tuples(st.integers(0, 9000), st.integers(0, 900)).map(lambda t: {"start": t[0], "end": t[0] + t[1]})


def texted(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return items of NLP with a time in ms."""
    return st.tuples(timed, st.fixed_dictionaries(more)).map(lambda parts: parts[0] | parts[1])


DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "VideoLabel": st.fixed_dictionaries(
        {
            "persons": st.lists(persons, max_size=4),
            "tags": st.lists(tags, max_size=3),
            "classifications": st.lists(
                st.fixed_dictionaries({"category1": texts, "category2": texts, "score": scores}), max_size=2
            ),
            "success": st.just(True),
        }
    ),
    "ImageLabel": st.fixed_dictionaries(
        {
            "persons": st.lists(
                st.fixed_dictionaries({"name": texts, "category": texts, "score": scores, "position": boxes}),
                max_size=3,
            ),
            "tags": st.lists(
                st.fixed_dictionaries({"mainTagName": texts, "subTagName": texts, "score": scores}), max_size=3
            ),
        }
    ),
    "TextLabel": st.fixed_dictionaries(
        {"tags": st.lists(st.fixed_dictionaries({"name": texts, "value": texts}), max_size=3)}
    ),
    "ASR": st.fixed_dictionaries({"details": st.lists(ranges(content=texts), max_size=5)}),
    "OCR": st.fixed_dictionaries(
        {
            "details": st.lists(
                st.fixed_dictionaries(
                    {
                        "timestamp": frames.map(seconds),
                        "info": st.lists(
                            st.fixed_dictionaries(
                                {"content": texts, "score": scores, "textType": st.sampled_from(["0", "1", "2"])}
                            ),
                            max_size=3,
                        ),
                    }
                ),
                max_size=4,
            )
        }
    ),
    "CPVLabel": st.fixed_dictionaries(
        {
            "type": st.sampled_from(["hmi", "autp"]),
            "cates": st.lists(concepts, max_size=2),
            "entities": st.lists(concepts, max_size=2),
        }
    ),
    "Meta": st.fixed_dictionaries({"title": texts}),
    "NLP": st.fixed_dictionaries(
        {
            "autoChapters": st.lists(texted(headline=texts, summary=texts), max_size=3),
            "summarization": st.fixed_dictionaries(
                {
                    "paragraphSummary": texts,
                    "questionsAnsweringSummary": st.lists(
                        st.fixed_dictionaries({"question": texts, "answer": texts}), max_size=2
                    ),
                    "mindMapSummary": st.lists(st.fixed_dictionaries({"title": texts}), max_size=2),
                }
            ),
            "meetingAssistance": st.fixed_dictionaries(
                {
                    "keywords": st.lists(texts, max_size=3),
                    "keySentences": st.lists(texted(text=texts), max_size=2),
                    "classifications": st.dictionaries(texts, scores, max_size=2),
                }
            ),
            "translation": st.fixed_dictionaries(
                {"paragraphs": st.lists(st.fixed_dictionaries({"sentences": st.lists(texted(text=texts), max_size=2)}))}
            ),
        }
    ),
    "Process": st.fixed_dictionaries({"url": st.sampled_from(["https://example.com/x.json", "javascript:alert(1)"])}),
    "Subtitle": st.fixed_dictionaries({"details": st.fixed_dictionaries({"allResultUrl": st.just("https://e.com/a")})}),
    "Novelty": st.fixed_dictionaries({"anything": texts}),
}
results = st.sampled_from(sorted(DATA)).flatmap(lambda name: DATA[name].map(lambda data: {"Type": name, "Data": data}))
documents = st.fixed_dictionaries(
    {
        "JobStatus": st.sampled_from(["Success", "Success", "Fail", "Processing", "Submitted"]),
        "UserData": texts,
        "Message": texts,
        "RequestId": st.just("12DD436D-DAF5-4D53-A8A4-265EB986F06A"),
        "Results": st.fixed_dictionaries({"Result": st.lists(results, max_size=4)}),
    }
)

odd_values = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, -0.001, 10**30, 2**63, 1e308, 1e17, 0.1 + 0.2),
        *("NaN", "Infinity", "-1", "0.5", "1_000", "\uff11", "5" * 400, "", "\x00", {}, [], [[]], {"from": 1}),
        *([None], [1, "a"], {"Result": {}}, "{}", "<html>", '{"a":', "x" * 2000, ["x"] * 50),
    ]
)


def encode(document: Any) -> bytes:
    """Return the bytes MPS would send: Data is JSON text inside JSON."""
    inner = document.get("Results") if isinstance(document, dict) else None
    found = inner.get("Result") if isinstance(inner, dict) else None
    for result in found if isinstance(found, list) else []:
        if isinstance(result, dict) and isinstance(result.get("Data"), dict | list):
            result["Data"] = json.dumps(result["Data"], ensure_ascii=False)
    return json.dumps(document, ensure_ascii=False).encode()


responses = documents.map(encode)


@st.composite
def broken_documents(draw: st.DrawFn) -> Any:
    """Return a document in which up to four values, at any depth, were swapped, doubled, wrapped, renamed or taken."""
    document: Any = draw(documents)
    for _ in range(draw(st.integers(1, 4))):
        holder, key = None, None
        node = document
        for _ in range(draw(st.integers(1, 9))):  # a walk towards the leaves, as long as there is anything below
            keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
            if not keys:
                break
            holder, key = node, draw(st.sampled_from(keys))
            node = holder[key]
        if holder is None:
            return draw(odd_values)
        draw(st.sampled_from([swap, swap, swap, double, wrap, unwrap, take, rename]))(holder, key, draw)
    return document


def swap(holder: Any, key: Any, draw: st.DrawFn) -> None:
    holder[key] = json.loads(json.dumps(draw(odd_values)))


def double(holder: Any, key: Any, _: st.DrawFn) -> None:
    if isinstance(holder, list):
        holder.append(json.loads(json.dumps(holder[key])))


def wrap(holder: Any, key: Any, _: st.DrawFn) -> None:
    holder[key] = [holder[key]]


def unwrap(holder: Any, key: Any, _: st.DrawFn) -> None:
    if isinstance(holder[key], list) and holder[key]:
        holder[key] = holder[key][0]


def take(holder: Any, key: Any, _: st.DrawFn) -> None:
    holder.pop(key)


def rename(holder: Any, key: Any, draw: st.DrawFn) -> None:
    if isinstance(holder, dict):
        holder[draw(texts)] = holder.pop(key)


@st.composite
def broken_bytes(draw: st.DrawFn) -> bytes:
    """Return the bytes of a response, good or broken, in which a few stretches were overwritten or cut."""
    raw = encode(draw(documents | broken_documents()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        put = draw(
            st.sampled_from(
                [
                    *(b"NaN", b"1e400", b"-Infinity", b"9" * 400, rb"\ud800", rb"\\ud800", rb"\ude00\ud800", b"\x00"),
                    *(b"\xff", b"\\", b'"', b"[" * 10_000, b'{"a":' * 10_000, b"]", b"null", b"-->", b"\xef\xbb\xbf"),
                ]
            )
        )
        raw = raw[:at] + put + raw[at + draw(st.integers(0, 12)) :]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


anything = st.one_of(broken_bytes(), broken_documents().map(encode), st.binary(max_size=64))
