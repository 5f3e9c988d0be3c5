"""docs/operations.md, in both languages, against the code it explains; its queries against real log lines."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from local import recorded
from local.cloud.world import CALLBACK, World, world
from shared import errors
from shared.triggers import JobChanged, parse

ROOT = Path(__file__).parents[2]
PAGES = ("operations.md", "operations.zh-CN.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def first_column(text: str) -> list[str]:
    """Return the names that begin the rows of a page's tables."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def events() -> set[str]:
    """Return every name the code logs under."""
    found = set()
    for path in (path for room in ("functions", "shared") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in {"log", "log_error"} and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_event_of_the_log_is_explained_and_no_other(name: str) -> None:
    section = page(name).partition("\n## ")[2].partition("\n## ")[0]
    assert len(events()) >= 15
    assert sorted(first_column(section)) == sorted(events())


@pytest.mark.parametrize("name", PAGES)
def test_every_error_has_its_line_in_the_runbook(name: str) -> None:
    tree = {
        each.__name__ for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == "shared.errors"
    }
    text = page(name)
    assert {error for error in tree if f"`{error}`" not in text} == set()
    retryable = {row[0]: row[1] for row in re.findall(r"^\| `([A-Z]\w+)` \| (\S+) \|", text, re.MULTILINE)}
    passing = (errors.RetryableError, errors.NotAdmitted)  # of which the publication asks again, not the query
    for error, passes in retryable.items():
        assert (passes in {"yes", "是"}) == issubclass(getattr(errors, error), passing), error


def test_both_pages_tell_the_same() -> None:
    english, chinese = map(page, PAGES)
    for pattern in (r"^\| `([^`]+)`", r"```sh\n(.*?)```", r"\b(\d{1,3}(?:,\d{3})+)\b", r"\(([a-z/]+\.(?:json|yml))\)"):
        found = [re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in (english, chinese)]
        assert found[0] == found[1], pattern
        assert found[0]


def requests(running: World, act: Callable[[], object]) -> tuple[int, ...]:
    """Return how many PUT or LIST, GET and DELETE requests OSS gets, and how many queries MPS, because of something."""
    oss, mps = len(running.oss.requests), len(running.mps.requests)
    act()
    assert running.settle()
    kinds = Counter(
        "PUT" if request.method == "PUT" or "list-type" in request.query else request.method
        for request in running.oss.requests[oss:]
    )
    return kinds["PUT"], kinds["GET"], kinds["DELETE"], len(running.mps.requests) - mps


def costs_of_a_job(name: str = "operations.md") -> list[tuple[int, ...]]:
    """Return what a page says of a job, a repeated notification and a sweep, in the order of ``requests``."""
    section = page(name).partition("| PUT")[2]
    rows = re.findall(
        r"^\| [^|]+ \| ([0-9,]+) \| ([0-9,]+) \| ([0-9,]+) \| ([0-9,]+) \| ([0-9,]+) \|", section, re.MULTILINE
    )
    numbers = [[int(each.replace(",", "")) for each in row] for row in rows]
    assert [row[0] for row in numbers] == [1, 1, 43200, 1000, 1_000_000]
    assert [row[1:] for row in numbers[3:]] == [
        [each * times for each in numbers[0][1:]] for times in (1000, 1_000_000)
    ]
    return [tuple(each // row[0] for each in row[1:]) for row in numbers[:3]]


def test_queries_and_alarms_work_on_what_the_functions_write(tmp_path: Path) -> None:
    """DuckDB stands in for Simple Log Service: the functions used here are those both have."""
    import duckdb

    alarms = json.loads((ROOT / "docs" / "sls" / "alarms.json").read_bytes())
    queries = json.loads((ROOT / "docs" / "sls" / "queries.json").read_bytes())
    job = recorded.jobs()["rich"]
    with world(tmp_path, {job.job_id: job.response}, sweep_seconds=3600) as running:
        costs = [requests(running, lambda: running.notify(job.job_id, "Success")) for _ in range(2)]
        sweeps = [requests(running, running.timer.fire) for _ in range(3)]
        costs.append(min(sweeps))  # the first of an instance on a day lists once more
        assert costs == costs_of_a_job() == costs_of_a_job("operations.zh-CN.md")
        running.topic.publish(b"nobody understands this")
        assert running.settle()
        lines = running.functions.log(CALLBACK).splitlines()
    database = duckdb.connect()
    database.execute("CREATE TABLE log (message VARCHAR)")
    database.executemany("INSERT INTO log VALUES (?)", [[line] for line in lines])

    def run(entry: dict[str, str]) -> list[tuple[object, ...]]:
        search, _, statement = entry["query"].partition(" | ")
        assert search == "*"
        return database.execute(statement.replace("JOB-ID", job.job_id)).fetchall()

    fired = [each["name"] for each in alarms if _holds(each["alarm"], run(each)[0][0])]
    assert fired == ["Messages fail or nobody understands them", "The sweep has stopped"]
    answers = {each["name"]: run(each) for each in queries}
    assert ("notification.poison", "ERROR", 1) in answers["Events of the last hour, by name and level"]
    assert ("cms", "delivered", 1) in answers["Deliveries by subscriber and outcome"]
    assert len(answers["What happened to one job: put its ID in"]) >= 2
    named = {event for entry in (*alarms, *queries) for event in re.findall(r"[a-z]+\.[a-z_]+", entry["query"])}
    assert named <= events()


def _holds(condition: str, count: object) -> bool:
    assert isinstance(count, int)
    parts = re.fullmatch(r"n ([<>]) (\d+)", condition)
    assert parts is not None
    return count > int(parts[2]) if parts[1] == ">" else count < int(parts[2])


def test_a_message_of_the_failure_queue_is_an_event_that_the_callback_takes() -> None:
    message = {"Type": "smarttag", "JobId": "a" * 32, "State": "Success", "UserData": ""}
    notification = {"TopicName": "smarttag", "MessageId": "1", "Message": json.dumps(message)}
    failed = {
        "timestamp": 1660120276975,
        "requestContext": {"requestId": "1", "condition": "UnhandledInvocationError", "approximateInvokeCount": 9},
        "requestPayload": json.dumps(notification),
        "responseContext": {"statusCode": 200, "functionError": "UnhandledInvocationError"},
        "responsePayload": "",
    }
    (read,) = parse(json.dumps(failed).encode())
    assert isinstance(read, JobChanged)
    assert read.job_id == "a" * 32


def test_the_lifecycle_rules_are_those_of_the_page_and_what_oss_reads() -> None:
    from alibabacloud_oss_v2 import models, serde

    given = (ROOT / "docs" / "oss" / "lifecycle.xml").read_bytes()
    read = models.LifecycleConfiguration()
    serde.deserialize_xml(given, read)
    assert read.rules is not None
    days = {}
    for rule in read.rules:
        assert rule.status == "Enabled"
        changed = rule.expiration or (rule.transitions or [])[0]
        days[rule.prefix.removeprefix("smarttag/")] = changed.days
    for name in PAGES:
        rows = re.findall(r"^\| (`[a-z]+/`.*?) \| (.*?) \|", page(name).partition("lifecycle.xml")[2], re.MULTILINE)
        stated = {
            prefix: int(found[0])
            for cell, term in rows
            if (found := re.findall(r"\d+", term))
            for prefix in re.findall(r"`(.*?)`", cell)
        }
        assert stated == days
