"""What subscribers are told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadInput
from shared.smarttag import summarise
from shared.webhooks import payload
from tests.fakes.node import BASE, SummaryInMemory, document, subscriber

AT = "2026-11-22T08:00:00.000Z"


def body(summary: dict[str, Any], **settings: Any) -> dict[str, Any]:
    event = payload.make_event("job1", "succeeded", AT, summary, BASE)
    told, source = subscriber("a", **settings), SummaryInMemory(summary)
    assert payload.is_wanted(event, told, source.summary)
    loaded: dict[str, Any] = orjson.loads(payload.make_body(event, told, source))
    return loaded


def person(name: str, category: str = "celebrity", **more: Any) -> dict[str, Any]:
    return {"name": name, "category": category, "sensitive": False, "seenMs": 1000, **more}


def test_a_thin_body_says_what_happened_and_where_the_rest_lies() -> None:
    summary = document(
        title="Evening news",
        persons=[person("Ann", sensitive=True), person("", "unknown")],
        alerts=[{"kind": "sensitive-person", "name": "Ann", "detail": "seen 1.0 s"}],
        classifications=[{"category1": "News", "category2": "Local", "score": 0.9}],
        transcript={"segments": 3, "characters": 40, "spokenMs": 9000, "excerpt": "..."},
    )
    assert body(summary) == {
        "type": "smarttag.job.succeeded",
        "timestamp": AT,
        "data": {
            "jobId": "job1",
            "status": "Success",
            "userData": "ticket-7",
            "headline": {
                "title": "Evening news",
                "message": "",
                "mediaKind": "video",
                "durationMs": 60000,
                "counts": {
                    "persons": 2,
                    "tags": 0,
                    "concepts": 0,
                    "chapters": 0,
                    "alerts": 1,
                    "warnings": 0,
                    "speechSegments": 3,
                    "screenTexts": 0,
                },
                "persons": [{"name": "Ann", "category": "celebrity", "sensitive": True, "seenMs": 1000}],
                "alerts": [{"kind": "sensitive-person", "name": "Ann", "detail": "seen 1.0 s"}],
                "classification": {"category1": "News", "category2": "Local"},
            },
            "output": {
                "summary": "oss://bucket/out/jobs/job1/summary.json",
                "report": "oss://bucket/out/jobs/job1/report.html",
                "manifest": "oss://bucket/out/jobs/job1/manifest.json",
            },
        },
    }


@pytest.mark.parametrize("settings", [{"payload": "full"}, {"select": "@"}])
def test_a_body_over_the_limit_is_thin_and_says_why(settings: dict[str, Any]) -> None:
    summary = document(message="x" * payload.MAX_BODY)
    thin, told = body(summary), body(summary, **settings)
    assert told["data"].pop("summaryOmitted").endswith("8,388,608 at most; fetch it instead")
    assert told == thin


def test_a_body_just_within_the_limit_is_whole() -> None:
    empty = len(orjson.dumps(body(document(nlp={"text": ""}), payload="full")))
    for over, key in ((0, "summary"), (1, "summaryOmitted")):
        summary = document(nlp={"text": "x" * (payload.MAX_BODY - empty + over)})
        assert key in body(summary, payload="full")["data"]


@pytest.mark.parametrize("select", ["&persons", "ceil(`1e999`)"])
def test_a_select_that_picks_no_json_is_a_clear_error(select: str) -> None:
    with pytest.raises(BadInput, match="subscriber a: "):
        body(document(), select=select)


def test_a_full_body_carries_the_summary_and_select_picks_from_it() -> None:
    summary = document(persons=[person("Ann")])
    assert body(summary, payload="full")["data"]["summary"] == summary
    assert body(summary, payload="full", select="persons[].name")["data"]["summary"] == ["Ann"]
    assert body(summary, select="persons[].name")["data"]["summary"] == ["Ann"]
    assert "summary" not in body(summary)["data"]


def test_progress_has_no_output_yet() -> None:
    event = payload.make_event("job1", "processing", AT, document(status="Processing"), BASE)
    assert event["type"] == "smarttag.job.processing"
    assert event["data"]["output"] is None


def test_the_headline_of_a_real_summary() -> None:
    """The keys it reads are those that summaries have."""
    summary = orjson.loads(summarise(b'{"JobStatus": "Success", "Results": {"Result": []}}', "job1").to_json())
    assert body(summary)["data"]["headline"]["counts"]["persons"] == 0


@pytest.mark.parametrize("settings", [{"when": "length(persons[0].seenMs)"}, {"select": "length(status.x)"}])
def test_an_expression_that_cannot_be_evaluated_is_an_error_that_names_the_subscriber(settings: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="subscriber a"):
        body(document(persons=[person("Ann")]), **settings)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
hostile = st.builds(lambda text, times: text * times, texts, st.sampled_from([0, 1, 100, 2000]))


@given(hostile, st.integers(0, 400))
def test_a_thin_body_stays_under_20_kb_whatever_the_summary_holds(text: str, many: int) -> None:
    summary = document(
        userData=text,
        message=text,
        title=text,
        persons=[person(text, text)] * many,
        alerts=[{"kind": text, "name": text, "detail": text}] * many,
        classifications=[{"category1": text, "category2": text, "score": 1.0}] * many,
    )
    event = payload.make_event("job1", "succeeded", AT, summary, BASE)
    assert len(orjson.dumps(event)) < 20_000


@given(hostile, st.integers(4, 500))
def test_cut_keeps_the_longest_beginning_that_fits(text: str, most: int) -> None:
    kept = payload.cut(text, most)
    size = len(orjson.dumps(kept)) - 2
    assert size <= most
    if kept != text:
        assert kept.endswith("…")
        assert text.startswith(kept[:-1])
        longer = text[: len(kept)] + "…"
        assert len(orjson.dumps(longer)) - 2 > most
    else:
        assert len(orjson.dumps(text)) - 2 <= most


@given(st.text("abcXYZ019_-", min_size=1, max_size=64), st.sampled_from(sorted(payload.EVENTS.values())))
def test_the_id_is_one_for_job_and_status_and_has_no_dot(job: str, name: str) -> None:
    found = payload.webhook_id(job, name)
    assert found == payload.webhook_id(job, name)
    assert "." not in found
    assert found != payload.webhook_id(job + "0", name)
    assert len({payload.webhook_id(job, each) for each in payload.EVENTS.values()}) == 4
