"""Whatever MPS answers: a sound summary, or one documented error.

50,000 examples: ``HYPOTHESIS_PROFILE=soak .venv/bin/pytest tests/smarttag/test_any_input.py``
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import shared.smarttag
from shared.errors import BadResponse
from shared.smarttag import analyse, make_artifacts, summarise
from shared.smarttag.model import Seen, Summary
from tests.smarttag import strategies

SCHEMA = json.loads((Path(shared.smarttag.__file__).parent / "summary.schema.json").read_bytes())
VALID = Draft202012Validator(SCHEMA)


def check(summary: Summary) -> dict[str, Any]:
    """Assert what holds for every summary; return it as JSON."""
    written: dict[str, Any] = orjson.loads(summary.to_json())
    VALID.validate(written)
    assert len(summary.warnings) < 500
    for seen in (*summary.persons, *summary.tags, *summary.concepts):
        check_times(seen)
    assert [p.seenMs for p in summary.persons if p.name and p.category != "unknown"] == sorted(
        (p.seenMs for p in summary.persons if p.name and p.category != "unknown"), reverse=True
    )
    if summary.screenText is not None:
        assert summary.screenText.distinct == len(summary.screenText.items)
        assert summary.screenText.detections == sum(item.count for item in summary.screenText.items)
    return written


def check_times(seen: Seen) -> None:
    ranges = seen.appearances
    assert all(first <= last for first, last in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert seen.seenMs == sum(last - first for first, last in ranges) <= seen.sumMs
    assert (seen.firstMs, seen.lastMs) == ((ranges[0][0], ranges[-1][1]) if ranges else (None, None))
    assert len(ranges) <= seen.appearanceCount


@given(strategies.anything)
def test_any_input_gives_a_sound_summary_or_one_documented_error(response: bytes) -> None:
    try:
        summary = summarise(response, "job")
    except BadResponse:
        with pytest.raises(BadResponse, match=r"^MPS answered .{1,900}$"):
            summarise(response, "job")
    else:
        check(summary)
        assert summarise(response, "job").to_json() == summary.to_json()


@given(strategies.anything)
@settings(max_examples=100, deadline=None)
def test_whatever_has_a_summary_has_every_file(response: bytes) -> None:
    try:
        artifacts = make_artifacts(analyse(response, "job"))
    except BadResponse:
        return
    assert {"summary.json", "report.html", "timeline.ndjson"} <= {artifact.name for artifact in artifacts}
    assert artifacts == make_artifacts(analyse(response, "job"))
    for artifact in artifacts:
        assert artifact.body.decode() or artifact.name == "timeline.ndjson"


@given(strategies.documents)
def test_totals_are_those_a_frame_counter_finds(document: dict[str, Any]) -> None:
    expected = count_frames(document)
    summary = summarise(strategies.encode(document))
    check(summary)
    found = {}
    for person in summary.persons:
        if person.category != "unknown" and person.name:
            found["person", person.name, person.category] = (person.seenMs, person.sumMs, person.appearanceCount)
    for tag in summary.tags:
        found["tag", tag.name, tag.group] = (tag.seenMs, tag.sumMs, tag.appearanceCount)
    assert found == expected
    faces = [row for data in data_of(document, "VideoLabel", "ImageLabel") for row in data["persons"]]
    nameless = [row for row in faces if row["category"] == "unknown" or not row["name"]]
    assert len([p for p in summary.persons if p.category == "unknown" or not p.name]) == len(nameless)


def data_of(document: dict[str, Any], *types: str) -> list[Any]:
    """Return what the results of some Types hold; ``encode`` has turned objects into text."""
    found = [result["Data"] for result in document["Results"]["Result"] if result["Type"] in types]
    return [json.loads(data) if isinstance(data, str) else data for data in found]


def count_frames(document: dict[str, Any]) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """Count, frame by frame of 40 ms, what was seen: another way to the same totals."""
    seen: dict[tuple[str, str, str], list[list[int]]] = {}
    for data in data_of(document, "VideoLabel", "ImageLabel"):
        for row in data["persons"]:
            if row["category"] != "unknown" and row["name"]:
                seen.setdefault(("person", row["name"], row["category"]), []).extend(frames_of(row))
        for row in data["tags"]:
            seen.setdefault(("tag", row["subTagName"], row["mainTagName"]), []).extend(frames_of(row))
    return {
        key: (40 * len({frame for span in spans for frame in span}), 40 * sum(map(len, spans)), len(spans))
        for key, spans in seen.items()
    }


def frames_of(row: dict[str, Any]) -> list[list[int]]:
    if "occurrences" not in row:
        return [[]]  # a picture: once, for no time
    return [list(range(round(o["from"] / 0.04), round(o["to"] / 0.04))) for o in row["occurrences"]]


BAD_ROWS = st.sampled_from(
    [
        None,
        7,
        "text",
        [],
        {},
        {"from": 2.0, "to": 1.0, "score": 0.5},
        {"from": "NaN", "to": 1.0, "score": 0.5},
        {"from": 0.0, "to": "Infinity", "score": 0.5},
        {"from": None, "to": 1.0},
        {"from": True, "to": 1.0},
        {"from": 0.0, "to": 1e300, "score": 0.99},
        {"from": 0.0, "score": 0.99},
    ]
)


@given(
    strategies.persons.filter(lambda person: person["name"]),
    st.lists(st.tuples(st.integers(0, 9), BAD_ROWS), min_size=1),
)
def test_a_bad_row_spoils_only_itself(person: dict[str, Any], bad: list[tuple[int, Any]]) -> None:
    person["category"] = "celebrity"
    clean = summarise(video([person]))
    rows = list(person["occurrences"])
    for at, row in bad:
        rows.insert(at, row)
    dirty = summarise(video([{**person, "occurrences": rows}]))
    assert dirty.persons == clean.persons
    # The ratio counts what was dropped, so it no longer tells a duration; what is known for sure stays.
    seen_until = max((last for _, last in dirty.persons[0].appearances), default=0) or None
    assert (dirty.media.kind, dirty.media.durationMs, dirty.media.durationErrorMs) == ("video", seen_until, None)
    assert len(dirty.warnings) >= 1


def video(persons: list[Any]) -> bytes:
    data = {"persons": persons, "tags": []}
    return strategies.encode({"JobStatus": "Success", "Results": {"Result": [{"Type": "VideoLabel", "Data": data}]}})


@given(strategies.documents)
def test_summary_and_analysis_agree(document: dict[str, Any]) -> None:
    response = strategies.encode(document)
    analysis = analyse(response, "job")
    summary = summarise(response, "job")
    assert analysis.summary == summary
    kinds = [occurrence.kind for occurrence in analysis.occurrences]
    assert kinds.count("person") == sum(person.appearanceCount for person in summary.persons)
    assert kinds.count("tag") == sum(tag.appearanceCount for tag in summary.tags)
    assert kinds.count("concept") == sum(concept.appearanceCount for concept in summary.concepts)
    assert kinds.count("chapter") == len(summary.chapters)
    assert kinds.count("speech") == (summary.transcript.segments if summary.transcript else 0)
    assert kinds.count("screenText") == (summary.screenText.detections if summary.screenText else 0)
    assert (analysis.segments is None) == (summary.transcript is None)


@pytest.mark.parametrize("depth", [300, 900, 10_000, 200_000])
@pytest.mark.parametrize("where", ["name", "position", "UserData", "Data", "document"])
def test_deep_nesting_is_survived(depth: int, where: str) -> None:
    deep = "[" * depth + "]" * depth
    response = strategies.encode({"JobStatus": "Success", "UserData": "u", "Results": {"Result": []}}).decode()
    data = '{"persons":[{"name":"N","occurrences":[{"from":0.0,"to":1.0,"score":0.5,"position":{"leftTop":"P"}}]}]}'
    if where in {"name", "position"}:
        data = data.replace('"N"' if where == "name" else '"P"', deep)
    elif where == "Data":
        data = deep
    elif where == "UserData":
        response = response.replace('"u"', deep)
    else:
        response = deep
    response = response.replace('"Result": []', f'"Result": [{{"Type": "VideoLabel", "Data": {json.dumps(data)}}}]')
    try:
        summary = summarise(response.encode())
    except BadResponse:
        assert where in {"UserData", "document"}  # what holds the job itself is unreadable
    else:
        check(summary)
        assert summary.warnings
