"""``GET /jobs``: what is asked of the catalogue, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client

from tests.http.fakes import DONE, NOW, READ, FakeService, make_app, summary_of

AUTH = {"Authorization": f"Bearer {READ}"}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def ask(service: FakeService, query: dict[str, str] | str) -> tuple[int, dict[str, Any]]:
    answer = Client(make_app(service)).get("/jobs", query_string=query, headers=AUTH)
    assert answer.json is not None
    return answer.status_code, answer.json


def test_it_answers_rows_a_cursor_and_how_far_back_it_looked(service: FakeService) -> None:
    for number in range(3):
        service.catalogue.add(f"job-{number}", summary_of(f"job-{number}", "Success").to_json(), [])
    status, first = ask(service, {"limit": "2"})
    assert status == 200
    assert [row["_id"] for row in first["jobs"]] == [DONE, "job-0"]
    assert first["searchedTo"] == first["jobs"][0]["publishedAt"]
    status, rest = ask(service, {"limit": "2", "cursor": first["next"]})
    assert [row["jobId"] for row in rest["jobs"]] == ["job-1", "job-2"]
    assert ask(service, {"cursor": rest["next"]}) == (
        200,
        {"jobs": [], "next": None, "searchedTo": "1970-01-01T00:00:00.000Z"},
    )


def test_filters_reach_the_catalogue(service: FakeService) -> None:
    for query, found in (
        ({"status": "Fail"}, 0),
        ({"text": DONE[3:9], "status": "Success"}, 1),
        ({"person": "nobody"}, 0),
        ({"since": "2026-11-18", "until": "2026-11-18"}, 1),
        ({"until": "2026-11-17"}, 0),
        ({"text": " "}, 1),
    ):
        assert len(ask(service, query)[1]["jobs"]) == found, query
    assert NOW == 1_795_000_000


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("limit=0", "limit must be a whole number from 1 to 200."),
        ("limit=201", "limit must be"),
        ("limit=%D9%A3", "limit must be"),
        ("cursor=abc", "the cursor must be one that an earlier answer gave as next."),
        ("cursor=%2e%2e%2f", "the cursor must be"),
        ("person=a&person=b", "Send each filter once"),
        ("since=", "Send each filter once, and leave out what is empty."),
        ("persn=a", "there is no filter 'persn'; the filters are person, tag"),
        ("text=a%00b", "text must hold no control characters"),
        ("status=*", "status must be one of Success, Fail."),
        ("since=now", "since must be a date such as 2026-11-26"),
        ("text=" + "x" * 201, "text must have at most 200 characters."),
        ("text=%E2%80%8B", "text must hold a sign that can be seen."),
        ("userData=%E2%80%8B%20%EF%BB%BF", "userData must hold a sign that can be seen."),
    ],
)
def test_what_is_wrong_is_said_with_what_to_send(service: FakeService, query: str, advice: str) -> None:
    status, problem = ask(service, query)
    assert status == 400
    assert problem["detail"].startswith(advice)


def test_ten_kilobytes_are_too_long_an_address(service: FakeService) -> None:
    assert ask(service, "text=" + "x" * 10_000)[0] == 414


def test_right_to_left_text_finds_what_it_names(service: FakeService) -> None:
    assert ask(service, {"text": "\u202eمريم"})[1]["jobs"] == []
    assert len(ask(service, {"text": f"\u202e{DONE[:8]}"})[1]["jobs"]) == 1


def test_it_needs_a_token(service: FakeService) -> None:
    assert Client(make_app(service)).get("/jobs").status_code == 401
