"""``smarttag rebuild``, over a real directory: artifacts of an older version become those of this one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from local.cli import rebuild
from local.cli.rebuild import State, published, rebuild_all
from local.recorded import jobs
from shared.errors import BadSettings, Unavailable
from shared.publishing.artifacts import store_artifacts
from shared.smarttag import analyse
from shared.storage.directory import DirectoryStore
from shared.webhooks.payload import webhook_id
from tests.fakes.node import Node, World, document, reader, subscriber
from tests.fakes.receivers import OK, Receivers

JOBS = jobs()
app = typer.Typer()
app.command()(rebuild.rebuild)
COMMAND = [sys.executable, "-c", "from local.cli.main import main; main()", "rebuild"]


def publish(store: DirectoryStore, job_id: str, name: str) -> dict[str, bytes]:
    """Leave what this version makes of a job; return it."""
    response = JOBS[name].response
    store.put(f"jobs/{job_id}/response.json", response)
    store_artifacts(store, response, analyse(response, job_id), anew=True)
    return files(store, job_id)


def age(store: DirectoryStore, job_id: str) -> None:
    """Make it look as if an older version had left the job: other files, one more, and a manifest of just those."""
    for key in (f"jobs/{job_id}/{name}" for name in ("summary.json", "timeline.ndjson", "manifest.json")):
        store.put(key, b'{"of": "an older version"}')
    store.put(f"jobs/{job_id}/transcript.txt", b"of an older version", "text/plain; charset=utf-8")


def files(store: DirectoryStore, job_id: str) -> dict[str, bytes]:
    prefix = f"jobs/{job_id}/"
    return {key.removeprefix(prefix): store.get(key) for key in store.list(prefix)}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def run(folder: Path, *arguments: str, **env: str) -> Result:
    env |= {"OUTPUT_URL": folder.as_uri(), "MPS_REGION": "cn-shanghai"}
    return CliRunner().invoke(app, arguments, env=env)


class Source:
    """MPS, which has the recorded job of this name for each job ID."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def query(self, job_id: str, _deadline: float, _admits: object) -> bytes:
        return JOBS[self.names[job_id]].response


def test_artifacts_are_made_anew_and_nothing_else_is_touched(store: DirectoryStore, tmp_path: Path) -> None:
    whole = {name: publish(store, f"job-{name}", name) for name in ("rich", "meta", "fail")}
    event = b'{"what": "was told"}'
    store.put("deliveries/job-meta/succeeded/event.json", event)
    store.put("jobs/job-meta/markers/job-meta.edl", b"markers")
    age(store, "job-meta")
    age(store, "job-fail")
    done = run(tmp_path, "--all")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "2 rebuilt, 1 unchanged, 0 failed\n", "")
    assert files(store, "job-meta").pop("markers/job-meta.edl") == b"markers"
    for name, before in whole.items():
        after = files(store, f"job-{name}")
        after.pop("markers/job-meta.edl", None)
        assert after == before
    listed = json.loads(whole["meta"]["manifest.json"])["artifacts"]
    assert all(hashlib.sha256(files(store, "job-meta")[each["name"]]).hexdigest() == each["sha256"] for each in listed)
    assert store.get("deliveries/job-meta/succeeded/event.json") == event
    assert {key.partition("/")[0] for key in store.list("")} == {"jobs", "deliveries"}  # no outbox: nobody is told


def test_a_second_run_changes_nothing_and_force_restores_what_was_lost(store: DirectoryStore, tmp_path: Path) -> None:
    whole = publish(store, "job-1", "rich")
    store.delete("jobs/job-1/report.html")
    assert json.loads(run(tmp_path, "job-1", "--json").stdout) == {"rebuilt": [], "unchanged": ["job-1"], "failed": {}}
    assert json.loads(run(tmp_path, "job-1", "--force", "--json").stdout)["rebuilt"] == ["job-1"]
    assert files(store, "job-1") == whole


def test_one_that_fails_stops_no_other_and_all_failures_are_listed(store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, "job-good", "meta")
    age(store, "job-good")
    publish(store, "job-bad", "meta")
    store.put("jobs/job-bad/response.json", b"<Error/>")
    done = run(tmp_path, "job-bad", "job-good", "job-none")
    assert (done.exit_code, done.stdout) == (1, "1 rebuilt, 0 unchanged, 2 failed\n")
    bad, none = done.stderr.splitlines()
    assert bad.startswith("smarttag: job-bad: ")
    assert "job-bad: response.json holds XML" in bad
    assert none.startswith("smarttag: job-none: there is no jobs/job-none/response.json")
    assert set(json.loads(run(tmp_path, "--all", "--json").stdout)["failed"]) == {"job-bad"}


@pytest.mark.parametrize("arguments", [[], ["job-1", "--all"], ["no/job"], ["a b"]])
def test_wrong_use_is_exit_status_2(arguments: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_without_settings_it_says_which(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "OUTPUT_URL"}
    done = subprocess.run(
        [*COMMAND, "--all"], capture_output=True, text=True, check=False, timeout=60, env=env, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "OUTPUT_URL" in done.stderr
    assert "Traceback" not in done.stderr


class Gated(DirectoryStore):
    """Lets a first read go on once a second job is being read; and fails where told."""

    def __init__(self, root: Path, fails: str = "") -> None:
        super().__init__(root)
        self.both, self.fails = threading.Barrier(2, timeout=30), fails

    def get(self, key: str) -> bytes:
        if key.endswith("response.json") and not self.fails:
            self.both.wait()
        return super().get(key)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        if self.fails and key.endswith(self.fails):
            raise Unavailable("the store is down")
        super().put(key, body, content_type)


def test_jobs_are_worked_on_side_by_side_each_once(store: DirectoryStore, tmp_path: Path) -> None:
    for job_id in ("job-1", "job-2"):
        publish(store, job_id, "meta")
    counted: list[None] = []
    outcomes = rebuild_all(Gated(tmp_path), ["job-1", "job-2", "job-1"], ended=lambda: counted.append(None))
    assert sorted(each.job_id for each in outcomes) == ["job-1", "job-2"]
    assert len(counted) == 2


@pytest.mark.parametrize("dies_at", ["report.html", "timeline.ndjson", "manifest.json"])
def test_what_was_interrupted_is_finished_by_the_next_run(store: DirectoryStore, tmp_path: Path, dies_at: str) -> None:
    whole = publish(store, "job-1", "meta")
    age(store, "job-1")
    (first,) = rebuild_all(Gated(tmp_path, dies_at), ["job-1"])
    assert (first.state, first.reason) == (State.FAILED, "the store is down")
    (second,) = rebuild_all(store, ["job-1"])
    assert second.state is State.REBUILT
    assert files(store, "job-1") == whole


class Overtaken(DirectoryStore):
    """A better answer is published, whole, just before the first artifact of the older one is written."""

    better: Callable[[], object] | None = None

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        better, self.better = self.better, None
        if better is not None:
            better()
        super().put(key, body, content_type)


def test_a_better_answer_that_comes_meanwhile_is_not_written_over(store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, "job-1", "fail")
    age(store, "job-1")
    overtaken = Overtaken(tmp_path)
    whole: dict[str, bytes] = {}
    overtaken.better = lambda: whole.update(publish(store, "job-1", "rich"))
    (outcome,) = rebuild_all(overtaken, ["job-1"])
    assert outcome.state is State.REBUILT
    assert json.loads(whole["summary.json"])["status"] == "Success"
    assert files(store, "job-1") == whole


def test_only_published_jobs_are_found(store: DirectoryStore) -> None:
    publish(store, "job-1", "meta")
    store.put("jobs/job-2/response.json", b"{}")  # its publication has not ended
    store.put("jobs/job-3/old/manifest.json", b"{}")
    store.put("jobs/no job/manifest.json", b"{}")
    assert list(published(store)) == ["job-1"]


def test_a_redelivery_sends_what_was_told_and_who_hears_first_gets_the_new_summary() -> None:
    old, new = subscriber("old", payload="full"), subscriber("new", payload="full")
    world = World(reader(old))
    world.tell("job1")
    world.store.put("jobs/job1/summary.json", orjson.dumps(document("job1", title="after the rebuild")))
    later = world.node(reader(old, new))
    assert later.redeliver("job1", "old", "1") == {"old": "delivered"}
    assert later.redeliver("job1", "new", "2") == {"new": "delivered"}
    first, again, heard = (orjson.loads(body)["data"] for _, _, body in world.receivers.arrived)
    assert again == first
    assert (first["summary"]["title"], heard["summary"]["title"]) == (None, "after the rebuild")
    assert heard["headline"] == first["headline"]


def test_announce_tells_every_subscriber_once_of_what_was_rebuilt_and_nobody_of_the_rest(tmp_path: Path) -> None:
    store, receivers = DirectoryStore(tmp_path / "out"), Receivers(lambda _who, _before: OK)
    names = {"job-old": "rich", "job-new": "cpv"}
    subscribers = reader(subscriber("thin"), subscriber("full", payload="full"))
    node = Node(store, subscribers, receivers, clock=time.time, source=Source(names))
    for job_id in names:
        node.tell(job_id)
    publish(store, "job-old", "meta")  # as another version would have read it
    store.put("jobs/job-old/response.json", JOBS["rich"].response)
    receipt = node.task("job-old").receipt_key
    digest = hashlib.sha256(store.get("jobs/job-old/manifest.json")).hexdigest()
    store.put(receipt, orjson.dumps(orjson.loads(store.get(receipt)) | {"manifest": digest}))
    receivers.arrived.clear()
    file = tmp_path / "subscribers.json"
    file.write_text('{"version": 1, "subscribers": []}')

    def rebuilt(*arguments: str) -> str:
        done = run(tmp_path / "out", "--all", *arguments, SUBSCRIBERS_URL=file.as_uri())
        assert done.exit_code == 0
        return done.stdout

    assert rebuilt() == "1 rebuilt, 1 unchanged, 0 failed\n"
    assert node.sweep() == {}
    # What was rebuilt in silence, or by a run that was interrupted, is still to be told; twice asked, told once.
    for _ in range(2):
        assert rebuilt("--announce") == "0 rebuilt, 2 unchanged, 0 failed; the next sweep tells subscribers of 1\n"
    for _ in range(3):
        node.sweep()
    assert json.loads(rebuilt("--announce", "--json"))["announced"] == []
    assert sorted(who for who, _, _ in receivers.arrived) == ["full", "thin"]
    assert {message for _, message, _ in receivers.arrived} == {webhook_id("job-old", "succeeded-2")}
    bodies = {who: orjson.loads(body)["data"] for who, _, body in receivers.arrived}
    assert bodies["full"]["summary"] == json.loads(store.get("jobs/job-old/summary.json"))
    node.redeliver("job-old", "thin", "1")
    assert receivers.arrived[-1] in receivers.arrived[:-1], "a redelivery sends the revision"


def test_announce_without_webhooks_changes_nothing_and_says_what_to_set(store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, "job-1", "meta")
    age(store, "job-1")
    before = files(store, "job-1")
    done = run(tmp_path, "job-1", "--announce")
    assert isinstance(done.exception, BadSettings)
    assert "set SUBSCRIBERS_URL" in str(done.exception)
    assert files(store, "job-1") == before
