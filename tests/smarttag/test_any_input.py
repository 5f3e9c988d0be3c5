"""Whatever MPS answers: a sound summary, or one documented error.

50,000 examples: ``HYPOTHESIS_PROFILE=soak .venv/bin/pytest tests/smarttag/test_any_input.py``
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import shared.smarttag
from shared.errors import BadResponse
from shared.smarttag import analyse, make_artifacts, summarise
from shared.smarttag.model import Analysis, Seen, Summary
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
        if not is_nobody(person.name, person.category):
            found["person", person.name, person.category] = (person.seenMs, person.sumMs, person.appearanceCount)
    for tag in summary.tags:
        found["tag", tag.name, tag.group] = (tag.seenMs, tag.sumMs, tag.appearanceCount)
    assert found == expected
    faces = [row for data in data_of(document, "VideoLabel", "ImageLabel") for row in data["persons"]]
    nameless = [row for row in faces if is_nobody(row["name"], row["category"])]
    assert len([person for person in summary.persons if is_nobody(person.name, person.category)]) == len(nameless)


def is_nobody(name: str, category: str) -> bool:
    """Say whether a row is of a face that no name unites with that of another row."""
    return category.strip().lower() in {"unknown", "未知人脸", "未知人物"} or not name.strip()


def data_of(document: dict[str, Any], *types: str) -> list[Any]:
    """Return what the results of some Types hold; ``encode`` has turned objects into text."""
    found = [result["Data"] for result in document["Results"]["Result"] if result["Type"] in types]
    return [json.loads(data) if isinstance(data, str) else data for data in found]


def count_frames(document: dict[str, Any]) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """Count, frame by frame of 40 ms, what was seen: another way to the same totals."""
    seen: dict[tuple[str, str, str], list[list[int]]] = {}
    for data in data_of(document, "VideoLabel", "ImageLabel"):
        for row in data["persons"]:
            if not is_nobody(row["name"], row["category"]):
                seen.setdefault(written("person", row["name"], row["category"]), []).extend(frames_of(row))
        for row in data["tags"]:
            seen.setdefault(written("tag", row["subTagName"], row["mainTagName"]), []).extend(frames_of(row))
    return {
        key: (40 * len({frame for span in spans for frame in span}), 40 * sum(map(len, spans)), len(spans))
        for key, spans in seen.items()
    }


def written(kind: str, name: str, group: str) -> tuple[str, str, str]:
    """Return the key of a row, in which NUL is replaced."""
    return kind, name.replace("\0", "\ufffd"), group.replace("\0", "\ufffd")


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
    check_screen_text(analysis)
    assert (analysis.segments is None) == (summary.transcript is None)


def check_screen_text(analysis: Analysis) -> None:
    """Assert that the rows of the texts on screen are theirs: no fewer than texts, no more than detections."""
    items = analysis.summary.screenText.items if analysis.summary.screenText else ()
    rows = [row for row in analysis.occurrences if row.kind == "screenText"]
    assert len(items) <= len(rows) <= sum(item.count for item in items)
    by_name: dict[str, list[int]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).extend((row.fromMs, row.toMs))
    expected: dict[str, list[int]] = {}
    for item in items:  # texts that are told apart may be spelled alike but for signs that cannot be seen
        expected.setdefault(item.text, []).extend((item.firstMs, item.lastMs))
    assert {name: (min(times), max(times)) for name, times in by_name.items()} == {
        name: (min(times), max(times)) for name, times in expected.items()
    }


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "gb18030", "gbk", "big5")
OTHERS = ("euc_jp", "euc_kr", "shift_jis", "latin-1", "cp1252", "cp1251", "koi8_r")


@given(strategies.documents, st.sampled_from((*ENCODINGS, *OTHERS)))
def test_any_encoding_gives_the_same_summary_or_a_refusal_that_names_it(
    document: dict[str, Any], encoding: str
) -> None:
    plain = strategies.encode(document)
    try:
        response = plain.decode().encode(encoding)
    except UnicodeEncodeError:
        return
    try:
        summary = summarise(response)
    except BadResponse:
        assert not encoding.startswith("utf")
        with pytest.raises(BadResponse, match="save the response as UTF-8"):
            summarise(response)
    else:
        assert without_warnings(summary) == without_warnings(summarise(plain))


def without_warnings(summary: Summary) -> Summary:
    return replace(summary, warnings=())


@given(strategies.documents, st.data())
def test_documented_parts_written_as_text_change_nothing(document: dict[str, Any], data: st.DataObject) -> None:
    expected = without_warnings(summarise(strategies.encode(json.loads(json.dumps(document)))))
    for holder, key in data.draw(st.lists(st.sampled_from(parts_of(document)), max_size=3, unique_by=id)):
        holder[key] = json.dumps(holder[key], ensure_ascii=data.draw(st.booleans()))
    whole = json.dumps(json.loads(strategies.encode(document)))
    response = data.draw(st.sampled_from([whole, json.dumps(whole)]))
    assert without_warnings(summarise(response.encode())) == expected


def parts_of(document: Any) -> list[tuple[Any, Any]]:
    """Return where objects and lists stand whose form is documented, the deepest first."""
    found: list[tuple[Any, Any]] = []
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        # What an undocumented Type or Process holds has no form; a face box's own corners pass through.
        if isinstance(value, dict | list) and key not in {"leftTop", "rightBottom"}:
            inside = value if not isinstance(value, dict) or value.get("Type") not in {"Process", "Novelty"} else {}
            found += parts_of(inside)
            found.append((document, key))
    return found


def strings_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in strings_of(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings_of(one)]
    return [value] if isinstance(value, str) else []


@given(strategies.anything)
def test_no_nul_and_no_half_of_a_pair_goes_out(response: bytes) -> None:
    """PostgreSQL refuses a file that holds one of them."""
    try:
        artifacts = {artifact.name: artifact.body for artifact in make_artifacts(analyse(response, "job"))}
    except BadResponse:
        return
    rows = [json.loads(line) for line in artifacts["timeline.ndjson"].split(b"\n") if line]
    written = [json.loads(artifacts["summary.json"]), *rows]
    assert not [text for text in strings_of(written) if "\0" in text or re.search("[\ud800-\udfff]", text)]
    assert not [name for name, body in artifacts.items() if b"\0" in body]


@given(st.sampled_from(["VideoLabel", "ASR", "OCR", "TextLabel", "CPVLabel", "NLP"]), st.data())
def test_what_could_not_be_read_is_never_told_as_what_was_not_there(name: str, data: st.DataObject) -> None:
    content = data.draw(strategies.DATA[name])
    for field in content:
        if isinstance(content[field], dict | list):
            content[field] = data.draw(st.sampled_from([7, "text", [7], ["text", None, 1]]))
    assume(any(content[field] for field in content.keys() - {"success", "type"}))
    summary = summarise(strategies.encode({"JobStatus": "Success", "Results": [{"Type": name, "Data": content}]}))
    assert summary.types[name].state == "invalid"
    assert (summary.transcript, summary.screenText, summary.nlp) == (None, None, None)


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
