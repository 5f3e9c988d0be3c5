"""DuckDB and ClickHouse, over the files as they are, agree with whoever reads every row of the truth."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from local.catalogue import export
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.positions import day_of
from shared.catalogue.sealing import Sealing
from shared.storage.directory import DirectoryStore
from tests.catalogue.engines import BLOCKS, PAGE, clickhouse_answers, duckdb_answers, statement
from tests.catalogue.world import oracle, publish, random_filters, summary
from tests.fakes.node import START, Clock

DAYS, JOBS = 12, 60
ASKED = [name for engine, name in BLOCKS if engine == "duckdb" and name]
Truth = list[dict[str, Any]]
Library = tuple[Path, Truth]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Jobs of some days, all sealed, some of them twice and one in a later revision."""
    folder, rng, clock = tmp_path_factory.mktemp("library"), random.Random(7), Clock(START)
    store, truth = DirectoryStore(folder), {}
    for number in range(JOBS):
        at = START + rng.uniform(0, DAYS * 86400)
        made = summary(rng, f"job-{number}")
        publish(store, made, at)
        truth[made["jobId"]] = made | {"at": int(at * 1000)}
    clock.now = START + 20 * 86400
    Sealing(store, clock).run(60)
    for name, revision in (("job-1", 0), ("job-2", 2)):
        made = summary(rng, name) if revision else {key: value for key, value in truth[name].items() if key != "at"}
        publish(store, made, clock.now, revision)
        truth[name] = made | {"at": truth[name]["at"]}
    Sealing(store, clock).run(60)
    return folder, list(truth.values())


def expected(truth: Truth) -> dict[str, list[tuple[Any, ...]]]:
    """Return the answers to the questions of the page."""
    who: dict[str, list[int]] = defaultdict(list)
    for row in truth:
        for person in row["persons"]:
            who[person["name"]].append(person["seenMs"])
    one = [(row["jobId"], 0, p["seenMs"]) for row in truth for p in row["persons"] if p["name"] == "万立骏"]
    seen = {row["jobId"]: {p["name"]: p["seenMs"] for p in row["persons"]} for row in truth}
    both = [(job, min(of["万立骏"], of["徐绍川"])) for job, of in seen.items() if {"万立骏", "徐绍川"} <= of.keys()]
    in_order = sorted(truth, key=lambda row: (-row["at"], row["jobId"]))
    persons = ((name, len(ms), sum(ms)) for name, ms in who.items())
    days = Counter((day_of(row["at"]), alert["kind"]) for row in truth for alert in row["alerts"])
    return {
        "who": sorted(persons, key=lambda row: (-row[2], row[0].encode())),
        "when": sorted(one),
        "together": sorted(both),
        "week": [
            (row["jobId"], row["title"], row["userData"], row["status"])
            for row in in_order
            if "2026-09-21" <= day_of(row["at"]) <= "2026-09-27"
        ],
        "alerts": sorted((*about, count) for about, count in days.items()),
    }


@pytest.mark.parametrize("views", ["duckdb", "parquet"])
def test_duckdb_answers_what_people_ask(library: Library, views: str) -> None:
    folder, truth = library
    if views == "parquet":
        export(Catalogue(DirectoryStore(folder)), folder / views)
    answers = duckdb_answers(folder, [BLOCKS["duckdb", name] for name in ASKED], views)
    found = {
        name: [tuple(str(cell) if isinstance(cell, date) else cell for cell in row) for row in rows]
        for name, rows in zip(ASKED, answers, strict=True)
    }
    assert found == expected(truth)


def test_duckdb_and_the_oracle_agree_on_random_filters(library: Library) -> None:
    folder, truth = library
    rng = random.Random(1)
    asked = [random_filters(rng, int(START * 1000), DAYS) for _ in range(40)]
    answers = duckdb_answers(folder, [statement(each, "duckdb") for each in asked])
    for each, rows in zip(asked, answers, strict=True):
        assert [row[0] for row in rows] == oracle(truth, each), each


@pytest.mark.needs("chdb")
def test_clickhouse_agrees(library: Library) -> None:
    folder, truth = library
    rng = random.Random(1)
    asked = [random_filters(rng, int(START * 1000), DAYS) for _ in range(40)]
    names = [name for engine, name in BLOCKS if engine == "clickhouse" and name]
    assert len(names) >= 4
    statements = [BLOCKS["clickhouse", name] for name in names] + [statement(each, "clickhouse") for each in asked]
    answers = clickhouse_answers(folder, statements)
    wanted = expected(truth)
    for name, rows in zip(names, answers, strict=False):
        assert [tuple(int(v) if isinstance(v, str) and v.isdigit() else v for v in row) for row in rows] == wanted[name]
    for each, rows in zip(asked, answers[len(names) :], strict=True):
        assert [row[0] for row in rows] == oracle(truth, each), each


def test_the_bulk_loader_of_the_page_makes_requests_of_bounded_bytes(library: Library) -> None:
    folder, _ = library
    (code,) = (part.partition("```")[0] for part in PAGE.split("```python bulk\n")[1:])
    path = next(folder.glob("catalogue/jobs/*/*.gz"))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, timeout=60)
    lines = done.stdout.decode().splitlines()
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [json.loads(line)["index"]["_id"] for line in lines[::2]] == [row["_id"] for row in rows]
    assert [json.loads(line)["jobId"] for line in lines[1::2]] == [row["jobId"] for row in rows]
    scope: dict[str, Any] = {"__name__": "page"}
    exec(code, scope)  # noqa: S102 - it is ours
    assert all(len(body) < 3000 or body.count(b"\n") == 2 for body in scope["requests"](path, 3000))
