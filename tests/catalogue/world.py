"""A made-up library: summaries of many jobs, and what a reader without any index finds in them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.positions import DAY
from shared.catalogue.row import Row
from shared.jobs import SUMMARY, artifact_key
from shared.storage import ObjectStore
from tests.fakes.node import document

PERSONS = ("万立骏", "徐绍川", "Ada Lovelace", "未知人脸1", "José", "مريم", "100%", "a_b", "*")
TAGS = (("场景", "公寓"), ("场景", "会议室"), ("物体", "汽车"), ("scene", "beach"))
WORDS = ("调研组一行来到南宁市", "直播带货", "Quarterly results", "50% off", "C:\\path", 'say "hi"', "نشرة الأخبار")
ALERTS = ("sensitive-person", "politician")


def summary(rng: random.Random, job_id: str) -> dict[str, Any]:
    """Return a random summary.json."""
    persons = rng.sample(PERSONS, rng.choice((0, 0, 1, 1, 2, 3)))
    seen = [{"name": name, "category": "celebrity", "seenMs": rng.randrange(60_000)} for name in persons]
    tags = [{"group": group, "name": name} for group, name in rng.sample(TAGS, rng.randrange(3))]
    alerts = [{"kind": rng.choice(ALERTS), "name": name} for name in persons if rng.random() < 0.2]
    words = rng.sample(WORDS, rng.randrange(3))
    failed = rng.random() < 0.1
    made = document(
        job_id,
        "Fail" if failed else "Success",
        userData=f"{rng.choice(('show', 'news', 'ad'))}-{rng.randrange(30)}",
        title=rng.choice((None, *WORDS)),
        message="The input file is broken" if failed else "",
        persons=[] if failed else seen,
        tags=[] if failed else tags,
        alerts=[] if failed else alerts,
        textTags=[{"name": "主题", "values": words[:1]}],
        nlp=None if rng.random() < 0.5 else {"keywords": words[1:], "summary": "", "topics": []},
    )
    return made | {"screenText": {"items": [{"text": f"第{rng.randrange(40)}集"}]}}


def timeline(made: dict[str, Any]) -> bytes:
    """Return a timeline.ndjson for a summary: one row for each person, who is seen from the beginning."""
    rows = [
        {"_id": f"{made['jobId']}-{at}", "fromMs": 0, "group": each["category"], "instance": 1, "jobId": made["jobId"]}
        | {"kind": "person", "name": each["name"], "score": None, "toMs": each["seenMs"], "userData": made["userData"]}
        for at, each in enumerate(made["persons"])
    ]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def publish(store: ObjectStore, made: dict[str, Any], at: float, revision: int = 0) -> None:
    """Leave a job's artifacts and its row, at a time in seconds."""
    body = orjson.dumps(made)
    store.put(artifact_key(made["jobId"], SUMMARY), body)
    store.put(artifact_key(made["jobId"], "timeline.ndjson"), timeline(made))
    Catalogue(store, lambda: at).add(made["jobId"], body, ["summary.json"], revision)


def random_filters(rng: random.Random, begin: int, days: int) -> Filters:
    """Return filters over a library of so many days from ``begin`` (ms) on."""

    def sometimes(value: Any, share: float, other: Any = "") -> Any:
        return value if rng.random() < share else other

    since = begin + rng.randrange(days * DAY)
    return Filters(
        person=sometimes(rng.choice((*PERSONS, "nobody", "%")), 0.3),
        tag=sometimes(rng.choice(TAGS)[1], 0.2),
        text=sometimes(rng.choice(("南宁", "第1", "results", "%", "\\", '"', "نشرة", "broken", "绍")), 0.3),
        user_data=sometimes(rng.choice(("show", "show-1", "news-2", "zzz")), 0.2),
        status=sometimes(rng.choice(("Success", "Fail")), 0.2),
        alert=sometimes(rng.choice(("any", *ALERTS)), 0.2),
        since=sometimes(since, 0.4, None),
        until=sometimes(since + rng.randrange(1, 10) * DAY, 0.4, None),
    )


def oracle(rows: Iterable[dict[str, Any]], filters: Filters) -> list[str]:
    """Return the IDs of the wanted jobs, newest first, by looking at every row of the truth."""
    wanted = sorted(filter(lambda row: _wanted(row, filters), rows), key=lambda row: (-row["at"], row["jobId"] + "."))
    return [row["jobId"] for row in wanted]


def _wanted(row: dict[str, Any], filters: Filters) -> bool:
    kinds = [each["kind"] for each in row["alerts"]]
    return (
        (filters.since is None or row["at"] >= filters.since)
        and (filters.until is None or row["at"] < filters.until)
        and filters.status in {"", row["status"]}
        and row["userData"].startswith(filters.user_data)
        and (not filters.alert or (filters.alert in kinds if filters.alert != "any" else bool(kinds)))
        and (not filters.person or filters.person in [each["name"] for each in row["persons"]])
        and (not filters.tag or filters.tag in [each["name"] for each in row["tags"]])
        and (not filters.text or any(filters.text.lower() in text.lower() for text in _texts(row)))
    )


def _texts(row: dict[str, Any]) -> Iterator[str]:
    yield from (row["jobId"], row["userData"], row["title"] or "", row["message"])
    yield from (each["name"] for each in row["persons"])
    yield from (each[part] for each in row["tags"] for part in ("group", "name"))
    yield from (value for each in row["textTags"] for value in each["values"])
    yield from (row["nlp"] or {"keywords": []})["keywords"]
    yield from (each["text"] for each in row["screenText"]["items"])


def pages(catalogue: Catalogue, filters: Filters, limit: int) -> Iterator[Row]:
    """Yield what the catalogue finds, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        page = catalogue.search(filters, cursor, limit)
        assert len(page.rows) <= limit
        yield from page.rows
        assert page.next is None or page.next > cursor
        cursor = page.next
