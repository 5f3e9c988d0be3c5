"""``smarttag jobs`` and ``smarttag catalogue``, over a real directory."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from local.catalogue import Rebuilt, rebuild
from local.cli.main import app
from local.cli.rebuild import published
from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.sealing import Sealing
from shared.errors import Unavailable
from shared.jobs import SUMMARY, artifact_key
from shared.storage import ObjectStore
from shared.storage.directory import DirectoryStore
from tests.catalogue.world import publish, summary
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, document

DAY = 86400


def manifest(store: ObjectStore, job_id: str) -> None:
    store.put(artifact_key(job_id, "manifest.json"), b'{"artifacts": [{"name": "summary.json"}]}')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library of five jobs in three days, of which two are sealed; the newest is hostile."""
    store, clock, rng = DirectoryStore(tmp_path / "out"), Clock(START + 2 * DAY), random.Random(1)
    for number in range(4):
        publish(store, summary(rng, f"job-{number}"), START + number * DAY / 2)
        manifest(store, f"job-{number}")
    hostile = document(
        "job-4", title="\x1b[31m红 [bold]", userData="x", persons=[{"name": "王五", "category": "", "seenMs": 1}]
    )
    publish(store, hostile, START + 2 * DAY)
    Sealing(store, clock).run(60)
    return tmp_path / "out"


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"OUTPUT_URL": folder.as_uri(), "MPS_REGION": "cn-shanghai"})


def test_jobs_are_shown_newest_first(folder: Path) -> None:
    done = run(folder, "jobs")
    assert done.exit_code == 0
    at = [done.stdout.index(f"job-{number}") for number in (4, 3, 2, 1, 0)]
    assert at == sorted(at)
    assert "\x1b" not in done.stdout
    assert "[bold]" in done.stdout
    assert "5 jobs" in done.stdout
    assert "1 job\n" in "\n".join(map(str.strip, run(folder, "jobs", "--limit", "1").stdout.splitlines()))


def test_a_table_is_utf_8_whatever_the_locale_like_every_other_line(folder: Path) -> None:
    env = os.environ | {"OUTPUT_URL": folder.as_uri(), "MPS_REGION": "cn-shanghai", "PYTHONIOENCODING": "gbk"}
    command = [sys.executable, "-c", "from local.cli.main import main; main()", "jobs"]
    done = subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
    assert "红 [bold]" in done.stdout.decode()


def test_filters_are_those_of_the_api(folder: Path) -> None:
    for options, found in (
        (["--person", "王五"], ["job-4"]),
        (["--user-data", "x"], ["job-4"]),
        (["--text", "BOLD", "--status", "Success"], ["job-4"]),
        (["--until", "2026-09-21"], ["job-0"]),
        (["--limit", "2"], ["job-4", "job-3"]),
        (["--person", "nobody"], []),
    ):
        assert [row["jobId"] for row in json.loads(run(folder, "jobs", "--json", *options).stdout)] == found, options
    assert "No published job" in run(folder, "jobs", "--person", "nobody").stdout


def test_what_is_logged_is_no_part_of_the_answer(folder: Path) -> None:
    next((folder / "catalogue" / "rows").iterdir()).write_bytes(b"{damaged")
    done = run(folder, "jobs", "--json")
    assert len(json.loads(done.stdout)) == 4
    assert "catalogue.row.damaged" in done.stderr


def test_a_wrong_filter_is_one_line_that_says_what_to_send(folder: Path) -> None:
    done = run(folder, "jobs", "--since", "yesterday")
    assert done.exit_code == 1
    assert "since must be a date such as 2026-11-26" in str(done.exception)


def ids(store: ObjectStore) -> list[str]:
    return [row.jobId for row in Catalogue(store, lambda: START + 2 * DAY).search(Filters(), limit=200).rows]


def test_a_rebuild_makes_the_same_catalogue_of_what_lies_in_the_bucket(folder: Path) -> None:
    store = DirectoryStore(folder)
    before = ids(store)
    manifest(store, "job-4")
    for key in list(store.list("catalogue/jobs/")) + list(store.list("catalogue/rows/")):
        store.delete(key)
    assert ids(store) == []
    done = run(folder, "catalogue", "rebuild", "--json")
    assert json.loads(done.stdout) == {"jobs": 5, "failed": {}}
    assert ids(store) == before


def test_jobs_of_an_earlier_version_get_the_time_at_which_they_were_told() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    store.put(artifact_key("told", SUMMARY), json.dumps(document("told")).encode())
    manifest(store, "told")
    store.put("jobs/told/deliveries/succeeded/event.json", b'{"at": 1700000000000}')
    store.put(artifact_key("untold", SUMMARY), json.dumps(document("untold")).encode())
    manifest(store, "untold")
    store.load(artifact_key("untold", "response.json"), b"{}", DAY)
    store.put(artifact_key("broken", SUMMARY), b"{")
    manifest(store, "broken")
    done = rebuild(Catalogue(store, clock), published(store))
    assert done.jobs == 2
    assert list(done.failed) == ["broken"]
    rows = Catalogue(store, clock).search(Filters()).rows
    assert [(row.jobId, row.publishedAt) for row in rows] == [
        ("untold", "2026-09-20T14:13:20.000Z"),
        ("told", "2023-11-14T22:13:20.000Z"),
    ]


def test_a_rebuild_drops_jobs_that_are_gone_and_takes_what_is_new_of_a_summary() -> None:
    clock = Clock(START + 2 * DAY)
    store = MemoryStore(clock)
    for number in range(3):
        publish(store, document(f"job-{number}"), START + number)
        manifest(store, f"job-{number}")
    Sealing(store, clock).run(60)
    store.delete(artifact_key("job-0", "manifest.json"))
    store.put(artifact_key("job-1", SUMMARY), json.dumps(document("job-1", title="new")).encode())
    assert rebuild(Catalogue(store, clock), published(store)) == Rebuilt(2, {})
    rows = Catalogue(store, clock).search(Filters()).rows
    assert [(row.jobId, row.title) for row in rows] == [("job-2", None), ("job-1", "new")]
    assert len(store.under("catalogue/jobs/")) == len(store.under("catalogue/appearances/")) + 1 == 1


def test_a_rebuild_killed_at_every_step_loses_nothing() -> None:
    for step in range(200):
        clock = Clock(START + 2 * DAY)
        store = MemoryStore(clock)
        for number in range(3):
            publish(store, document(f"job-{number}"), START + number * DAY)
            manifest(store, f"job-{number}")
        Sealing(store, clock).run(60)
        store.put(artifact_key("job-1", SUMMARY), json.dumps(document("job-1", title="new")).encode())
        left = [step]

        def gate(_what: str, _key: str, _when: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Unavailable("killed")

        store.gate = gate
        try:
            rebuild(Catalogue(store, clock), published(store))
        except Unavailable:
            store.gate = lambda *_: None
            assert set(ids(store)) == {"job-0", "job-1", "job-2"}, step
            rebuild(Catalogue(store, clock), published(store))
        else:
            if left[0] >= 0:
                assert step > 30
                return
        store.gate = lambda *_: None
        rebuild(Catalogue(store, clock), published(store))
        assert ids(store) == ["job-2", "job-1", "job-0"]
        assert Catalogue(store, clock).search(Filters(text="new")).rows != ()
    raise AssertionError


def test_parquet_holds_every_job_and_every_appearance(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "catalogue", "export", "--parquet", str(tmp_path / "parquet"), "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(run(folder, "jobs", "--json").stdout)
    appearances = sum(len(row["persons"]) for row in rows)
    assert json.loads(done.stdout) == {"jobs": 5, "appearances": appearances}
    with duckdb.connect() as db:
        found = db.read_parquet(f"{tmp_path}/parquet/jobs/*/*.parquet", hive_partitioning=True).order(
            "publishedAt desc"
        )
        shown = [(job_id, str(dt)) for job_id, dt in found.select("jobId", "dt").fetchall()]
        assert shown == [(row["jobId"], row["publishedAt"][:10]) for row in rows]
        assert len(db.read_parquet(f"{tmp_path}/parquet/appearances/*/*.parquet")) == appearances


def test_parquet_of_a_day_that_has_nothing_left_goes(folder: Path, tmp_path: Path) -> None:
    parquet, store = tmp_path / "parquet", DirectoryStore(folder)
    run(folder, "catalogue", "export", "--parquet", str(parquet))
    (parquet / "jobs" / "of-mine.parquet").write_bytes(b"")
    Catalogue(store).forget("job-0")
    run(folder, "catalogue", "export", "--parquet", str(parquet))
    assert not list(parquet.glob("*/dt=2026-09-20/*")), "what was erased is in no file"
    assert len(list(parquet.glob("jobs/dt=*/rows.parquet"))) == 2
    assert (parquet / "jobs" / "of-mine.parquet").exists()


def test_a_rebuild_mends_a_file_with_a_damaged_line(folder: Path) -> None:
    store = DirectoryStore(folder)
    manifest(store, "job-4")
    before, key = ids(store), next(iter(store.list("catalogue/jobs/")))
    store.put(key, gzip.compress(b"{damaged\n" + gzip.decompress(store.get(key))))
    done = run(folder, "catalogue", "rebuild", "--json")
    assert (done.exit_code, json.loads(done.stdout or "{}")) == (0, {"jobs": 5, "failed": {}})
    assert ids(store) == before
    assert not any(b"{damaged" in gzip.decompress(store.get(each)) for each in store.list("catalogue/jobs/"))
