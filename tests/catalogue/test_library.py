"""A library of 60 days with kills everywhere: API, command, DuckDB and ClickHouse find what the truth holds.

``SOAK=1 pytest tests/catalogue/test_library.py -s`` takes 100,000 jobs and 200 filters, and prints store calls.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner
from werkzeug.test import Client

from local.catalogue import rebuild
from local.cli.main import app as smarttag
from local.cli.rebuild import published
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.parts import parts_under, read_lines
from shared.catalogue.positions import DAY, iso
from shared.catalogue.sealing import Sealing
from shared.jobs import artifact_key
from tests import needs
from tests.catalogue.engines import clickhouse_answers, duckdb_answers, statement
from tests.catalogue.world import oracle, publish, random_filters, summary
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, Node
from tests.http.fakes import READ, FakeService, make_app

JOBS, FILTERS = (100_000, 200) if os.environ.get("SOAK") else (300, 20)
ERASED = 0.01 if os.environ.get("SOAK") else 0.05  # of jobs
COMMANDS = FILTERS if os.environ.get("SOAK") else 2
DAYS = 60
BEGIN = int(START * 1000)
AUTH = {"Authorization": f"Bearer {READ}"}


class Killed(BaseException):
    """The process ends here."""


class Library:
    """The store, the clock, and the truth beside them."""

    def __init__(self) -> None:
        self.rng, self.clock = random.Random(14), Clock()
        self.store = MemoryStore(self.clock)
        self.truth: dict[str, dict[str, Any]] = {}
        self.erased: set[str] = set()
        self.eraser = Node(self.store, None, None, clock=self.clock).eraser
        self.kills: Counter[str] = Counter()
        self.left = -1
        self.store.gate = self.gate
        self._found: dict[Filters, list[str]] = {}

    def gate(self, _what: str, _key: str, _when: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def until_done(self, what: str, work: Any, most: int, share: float = 0.2) -> None:
        """Do a piece of work that is killed now and then within ``most`` steps, and begun again until it ends."""
        while True:
            self.left = self.rng.randrange(1, most) if self.rng.random() < share else -1
            try:
                work()
            except Killed:
                self.kills[what] += 1
                share = 0.2
                continue
            self.left = -1
            return

    def publish(self, job_id: str, revision: int = 0) -> None:
        made, at = summary(self.rng, job_id), self.clock.now
        self.store.put(artifact_key(job_id, "manifest.json"), b'{"artifacts": []}')
        self.until_done("cataloguing", lambda: publish(self.store, made, at, revision), 8)
        before = self.truth.get(job_id)
        fixed = orjson.loads(self.store.objects[f"catalogue/published/{job_id}.json"].body)["publishedAt"]
        assert before is None or before["at"] == fixed
        self.truth[job_id] = made | {"at": fixed}

    def erase(self, job_id: str) -> None:
        task = self.eraser.task(job_id, "request")
        self.until_done("erasing", lambda: self.eraser.run(task), 40, 0.5)
        del self.truth[job_id]
        self.erased.add(job_id)

    def grow(self) -> None:
        """Publish jobs over 60 days, some of them twice, and erase some; each night the sweep seals the day before."""
        sealing = Sealing(self.store, self.clock)
        times = sorted(self.rng.uniform(0, DAYS * 86400) for _ in range(JOBS))
        for number, after in enumerate(times):
            if int((START + after) // 86400) > int(self.clock.now // 86400):
                self.clock.now = (START + after) // 86400 * 86400 + 1000
                self.until_done("sealing", lambda: sealing.run(3600), 4 * JOBS // DAYS + 20)
            self.clock.now = START + after
            self.publish(f"job-{number}")
            if self.rng.random() < 0.02:
                self.publish(self.rng.choice(list(self.truth)[-500:]), number + 2)
            if self.rng.random() < ERASED:
                self.erase(self.rng.choice(list(self.truth)))

    def wanted(self, filters: Filters) -> list[str]:
        """Return what is to be found."""
        if filters not in self._found:
            self._found[filters] = oracle(self.truth.values(), filters)
        return self._found[filters]

    def copy(self, folder: Path) -> None:
        """Write catalogue and artifacts into a folder."""
        for key, each in self.store.objects.items():
            if key.startswith(("catalogue/rows/", "catalogue/jobs/", "catalogue/appearances/")):
                path = folder / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(each.body)


@pytest.fixture(scope="module")
def library() -> Library:
    found = Library()
    found.grow()
    catalogue = Catalogue(found.store, found.clock)
    for share in (1.0, 0.2):
        found.until_done("rebuilding", lambda: rebuild(catalogue, published(found.store)), JOBS * 16, share)
    assert found.kills.keys() == {"cataloguing", "sealing", "rebuilding", "erasing"}
    assert found.kills.total() > (JOBS * 0.02)
    return found


def asked(count: int) -> list[Filters]:
    rng = random.Random(41)
    return [random_filters(rng, BEGIN, DAYS) for _ in range(count)]


def parameters(filters: Filters) -> dict[str, str]:
    given = {"person": filters.person, "tag": filters.tag, "text": filters.text, "userData": filters.user_data}
    given |= {"status": filters.status, "alert": filters.alert}
    for name, at in (("since", filters.since), ("until", filters.until)):
        given[name] = "" if at is None else iso(at)
    return {name: value for name, value in given.items() if value}


def test_the_api_finds_what_the_truth_holds(library: Library) -> None:
    service = FakeService()
    service.catalogue = Catalogue(library.store, library.clock)
    client = Client(make_app(service))
    for filters in asked(FILTERS):
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            query = {**parameters(filters), **cursor, "limit": "200"}
            page = orjson.loads(client.get("/jobs", query_string=query, headers=AUTH).data)
            found += [row["jobId"] for row in page["jobs"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert found == library.wanted(filters), filters


def test_the_command_finds_it(library: Library, tmp_path: Path) -> None:
    library.copy(tmp_path)
    for filters in asked(COMMANDS):
        options = [part for name, value in parameters(filters).items() for part in (_option(name), value)]
        env = {"OUTPUT_URL": tmp_path.as_uri(), "MPS_REGION": "cn-shanghai"}
        done = CliRunner().invoke(smarttag, ["jobs", "--json", "--limit", str(JOBS), *options], env=env)
        assert done.exit_code == 0, done.output
        assert [row["jobId"] for row in orjson.loads(done.stdout)] == library.wanted(filters), filters


def _option(name: str) -> str:
    return "--user-data" if name == "userData" else f"--{name}"


def test_engines_find_it_in_the_files(library: Library, tmp_path: Path) -> None:
    """All days are finished by then: engines read files, not the rows of the day that is under way."""
    store, clock = library.store, Clock(library.clock.now + 2 * 86400)
    assert Sealing(store, clock).run(1e6) >= 0
    parts = [part.key for part in parts_under(store, "catalogue/")]
    assert library.erased.isdisjoint(orjson.loads(line)["jobId"] for key in parts for line in read_lines(store, key))
    library.copy(tmp_path)
    filters = asked(FILTERS)
    wanted = [library.wanted(each) for each in filters]
    found = duckdb_answers(tmp_path, [statement(each, "duckdb") for each in filters])
    assert [[row[0] for row in rows] for rows in found] == wanted
    if needs.missing("chdb") is None:
        found = clickhouse_answers(tmp_path, [statement(each, "clickhouse") for each in filters])
        assert [[row[0] for row in rows] for rows in found] == wanted


def test_a_query_costs_the_days_that_it_asks_for(library: Library) -> None:
    catalogue = Catalogue(library.store, library.clock)

    def calls(days: int, back: int) -> int:
        until = BEGIN + (DAYS - back) * DAY
        filters = Filters(person="nobody", since=until - days * DAY, until=until)
        before, cursor = len(library.store.calls), ""
        while True:
            page = catalogue.search(filters, cursor, 200)
            if page.next is None:
                return len(library.store.calls) - before
            cursor = page.next

    costs = {f"{days} days, {back} days ago": calls(days, back) for back in (5, 25, 45) for days in (1, 7, 14)}
    newest = len(library.store.calls)
    catalogue.search(Filters(), limit=50)
    costs["the newest 50"] = len(library.store.calls) - newest
    print(f"\n{JOBS} jobs in {DAYS} days, {len(library.erased)} erased; kills: {dict(library.kills)}")
    print(f"{FILTERS} filters, {COMMANDS} of them by command; store calls: {costs}")
    per_day = max(1, JOBS // DAYS // 2000 + 2)
    for back in (5, 25, 45):
        assert costs[f"1 days, {back} days ago"] <= 4 + 2 * per_day * 2
        assert costs[f"14 days, {back} days ago"] <= 5 + 15 * per_day * 2
    assert costs["the newest 50"] <= 60
