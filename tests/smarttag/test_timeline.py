"""The timeline: rows that can be loaded twice, and the documented ways to load them, run as documented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.smarttag import analyse
from shared.smarttag.model import Analysis, Media, Occurrence, Summary
from shared.smarttag.timeline import rows

DOC = (Path(__file__).parents[2] / "docs" / "timeline.md").read_text(encoding="utf-8")
JOB = "88c6ca184c0e47098a5b665e2a126797"
OCCURRENCES = (
    Occurrence(2440, 5320, "person", "politician", "万立骏", 1, 0.972),
    Occurrence(5440, 7920, "person", "politician", "徐绍川", 1, 0.967),
    Occurrence(11440, 13560, "person", "politician", "万立骏", 1, 0.925),
    Occurrence(40200, 42440, "tag", "场景", "公寓", 1, 0.776),
    Occurrence(4000, 7000, "speech", "", "调研组一行来到南宁市。", 1, -1.0),
)

occurrences = st.lists(
    st.builds(
        Occurrence,
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["person", "tag"]),
        st.sampled_from(["", "g"]),
        st.sampled_from(["a", "b"]) | st.text(max_size=5),
        st.integers(1, 2),
        st.sampled_from([-1.0, 0.0, 0.5]),
    ),
    max_size=12,
)


def analysis(*found: Occurrence, job: str = JOB, user_data: str = "episode-12") -> Analysis:
    return Analysis(Summary(job, "Success", user_data, "", Media("video", None, None, None)), None, found)


def read(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.split(b"\n")[:-1]]


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)
    assert found, f"docs/timeline.md has no {language} example any more"
    return found


def tables() -> list[list[list[str]]]:
    """Return the body rows of every table of the page."""
    found = re.findall(r"^(?:\|.*\n)+", DOC, re.MULTILINE)
    return [[re.split(r" \| ", line.strip("| ")) for line in table.splitlines()[2:]] for table in found]


def database(folder: Path, *jobs: Analysis) -> duckdb.DuckDBPyConnection:
    for job in jobs:
        target = folder / "jobs" / job.summary.jobId / "timeline.ndjson"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(rows(job))
    connection = duckdb.connect()
    connection.execute(f"SET file_search_path = '{folder}'")
    return connection


def test_the_documented_rows_are_what_is_written() -> None:
    assert rows(analysis(*OCCURRENCES)).decode() == blocks("ndjson")[0]


def test_a_job_without_appearances_has_an_empty_timeline() -> None:
    assert rows(analysis()) == b""


@given(occurrences, st.randoms())
def test_rows_do_not_depend_on_the_order_they_came_in(found: list[Occurrence], rng: Any) -> None:
    body = rows(analysis(*found))
    rng.shuffle(found)
    assert rows(analysis(*found)) == body


@given(occurrences)
def test_every_appearance_is_one_row_with_a_name_of_its_own(found: list[Occurrence]) -> None:
    read_back = read(rows(analysis(*found)))
    assert len({row["_id"] for row in read_back}) == len(found)
    assert all(re.fullmatch("[0-9a-f]{32}", row["_id"]) for row in read_back)
    assert all(list(row) == sorted(row) for row in read_back)
    times = [(row["fromMs"], row["toMs"]) for row in read_back]
    assert times == sorted(times)
    told = [row | {"score": -1.0} if row["score"] is None else row for row in read_back]
    assert Counter(tuple(row[field] for field in Occurrence._fields) for row in told) == Counter(map(tuple, found))
    assert {(row["jobId"], row["userData"]) for row in read_back} <= {(JOB, "episode-12")}


@given(occurrences, occurrences)
def test_a_row_keeps_its_id_when_others_join_it(found: list[Occurrence], more: list[Occurrence]) -> None:
    before = {row["_id"] for row in read(rows(analysis(*found)))}
    assert before <= {row["_id"] for row in read(rows(analysis(*more, *found)))}


def test_the_same_appearance_in_two_jobs_is_two_rows_and_user_data_names_nothing() -> None:
    one, other, relabelled = (
        {row["_id"] for row in read(rows(made))}
        for made in (analysis(*OCCURRENCES), analysis(*OCCURRENCES, job="other"), analysis(*OCCURRENCES, user_data=""))
    )
    assert not one & other
    assert one == relabelled


def test_lines_end_only_where_rows_end() -> None:
    odd = Occurrence(0, 1, "person", "", 'a\nb\r\u2028\x00"<\\-->', 1, -1.0)
    body = rows(analysis(odd, odd, user_data='"\n\u2028'))
    assert body.count(b"\n") == 2
    assert [(row["name"], row["userData"]) for row in read(body)] == [(odd.name, '"\n\u2028')] * 2


def test_the_documented_duckdb_commands_load_twice_and_answer_as_printed(tmp_path: Path) -> None:
    connection = database(tmp_path, analysis(*OCCURRENCES))
    load, *questions = blocks("sql")
    for _ in range(2):
        connection.execute(load)
        assert connection.execute("SELECT count(*) FROM appearances").fetchone() == (len(OCCURRENCES),)
    printed = tables()[1:]
    assert len(questions) == len(printed) == 2
    for question, table in zip(questions, printed, strict=True):
        assert [[str(value) for value in row] for row in connection.execute(question).fetchall()] == table


def test_duckdb_counts_overlaps_once_identical_rows_as_two_and_jobs_apart(tmp_path: Path) -> None:
    spans = [(0, 1000), (500, 800), (900, 1500), (900, 1500), (2000, 2000), (3000, 3100)]
    found = [Occurrence(*span, "person", "celebrity", "a", 1, -1.0) for span in spans]
    connection = database(tmp_path, analysis(*found), analysis(*found[:1], job="other"))
    load, on_screen, _ = blocks("sql")
    connection.execute(load)
    assert connection.execute(on_screen).fetchall() == [("a", "celebrity", 1, 6, 1600)]
    job_by_job = on_screen.replace(f" AND jobId = '{JOB}'", "")
    assert connection.execute(job_by_job).fetchall() == [("a", "celebrity", 1, 6, 1600), ("a", "celebrity", 1, 1, 1000)]


@pytest.mark.parametrize("name", ["same-name", "two-categories"])
def test_the_documented_query_tells_people_apart_as_the_summary_does(tmp_path: Path, name: str) -> None:
    found = analyse((Path(__file__).parent / "cases" / f"{name}.json").read_bytes(), JOB)
    connection = database(tmp_path, found)
    load, on_screen, _ = blocks("sql")
    connection.execute(load)
    told = sorted((row[0], row[1], row[4]) for row in connection.execute(on_screen).fetchall())
    assert told == sorted((person.name, person.category, person.seenMs) for person in found.summary.persons)


def test_sightings_of_one_text_close_to_each_other_are_one_row() -> None:
    times = [1.0, 2.5, 4.5, 6.6, 0.0, 6.6]
    info = [[{"content": "字", "score": score}] for score in (0.5, 0.9, 0.1, 0.4, -1.0, 0.3)]
    details = [{"timestamp": at, "info": boxes} for at, boxes in zip(times, info, strict=True)]
    data = json.dumps({"details": details})
    response = json.dumps({"JobStatus": "Success", "Results": [{"Type": "OCR", "Data": data}]}).encode()
    told = [(row["fromMs"], row["toMs"], row["score"]) for row in read(rows(analyse(response)))]
    assert told == [(0, 4500, 0.9), (6600, 6600, 0.4)]


def bulk(folder: Path, body: bytes, script: str) -> list[list[bytes]]:
    """Run the documented script; return the lines of each request it wrote."""
    subprocess.run([sys.executable, "-c", script], input=body, cwd=folder, check=True)
    return [path.read_bytes().split(b"\n")[:-1] for path in sorted(folder.glob("part-*"))]


@pytest.mark.parametrize("found", [OCCURRENCES, (Occurrence(0, 1, "person", "", "\n\u2028", 1, 0.5),) * 3, ()])
def test_the_documented_bulk_form_names_each_document_outside_of_it(
    found: tuple[Occurrence, ...], tmp_path: Path
) -> None:
    body = rows(analysis(*found))
    lines = [json.loads(line) for part in bulk(tmp_path, body, blocks("python")[0]) for line in part]
    actions, documents = lines[::2], lines[1::2]
    assert [
        {"_id": action["index"]["_id"], **document} for action, document in zip(actions, documents, strict=True)
    ] == read(body)
    assert all(action == {"index": {"_index": "appearances", "_id": action["index"]["_id"]}} for action in actions)
    assert not any("_id" in document for document in documents)


def test_the_documented_bulk_form_splits_by_bytes(tmp_path: Path) -> None:
    script = blocks("python")[0].replace("8_000_000", "2_000")
    parts = bulk(tmp_path, rows(analysis(*OCCURRENCES * 10, user_data="片" * 100)), script)
    sizes = [sum(len(line) + 1 for line in part) for part in parts]
    assert len(parts) > 5
    assert max(sizes) <= 2000
    assert min(sizes[:-1]) > 1000
    assert all(len(part) % 2 == 0 for part in parts)


def test_the_documented_mapping_has_every_field_of_a_row() -> None:
    mapping = json.loads(blocks("json")[0])["mappings"]["properties"]
    assert {"_id", *mapping} == set(read(rows(analysis(*OCCURRENCES)))[0])
