"""``smarttag outbox`` and ``smarttag dead``, over a real directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from local.cli import dead, main, outbox
from local.cloud.oss import REGION, OssStandIn
from shared.errors import BadInput
from shared.outbox.dead_letters import Selection
from shared.outbox.task import TaskKind, redelivery_id
from shared.storage.directory import DirectoryStore
from shared.triggers import Poison, parse
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import FAILED, Receivers

app = typer.Typer()
app.command()(outbox.outbox)
app.add_typer(dead.app, name="dead")
Run = Callable[..., Result]
LETTER = "deliveries/job1~succeeded~cms~0"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A delivery that waits, one given up, a job that cannot be published, and a message nobody understands."""
    clock = Clock()
    failing = Receivers(lambda _who, _before: FAILED)
    made = Node(DirectoryStore(tmp_path), reader(subscriber("cms")), failing, clock=clock, publish=_publish)
    made.tell("job1")
    clock.now += 97 * 3600
    made.sweep()
    made.tell("job2")
    made.tell("job3")
    made.dead.keep_notification(b"[bold]\x1b\xff", "is no message")
    return made


def _publish(job_id: str, _reported: str, _series: str) -> None:
    if job_id == "job3":
        raise BadInput("MPS does not know job3")


@pytest.fixture
def run(node: Node, tmp_path: Path) -> Run:
    assert list(node.outbox.listed())
    env = {"OUTPUT_URL": f"file://{tmp_path}", "COLUMNS": "200", "FC_FUNCTION_NAME": ""}
    return lambda *args: CliRunner().invoke(app, list(args), env=env)


def test_outbox_says_why_each_task_waits(tmp_path: Path) -> None:
    store, now = DirectoryStore(tmp_path), int(time.time() * 1000)
    node = Node(store, reader(subscriber("cms")), Receivers(lambda _who, _before: FAILED), clock=time.time)
    node.tell("backing-off")
    node.worker.outbox.claim(held := node.task("held"), 120.0)
    node.worker.outbox.claim(lost := node.task("lost"), 0.001)
    due = replace(node.task("job"), due=now - 5000)
    fan_out = replace(due, kind=TaskKind.FAN_OUT, event="succeeded")
    node.outbox.enqueue_all([held, lost, due, fan_out, replace(due, job_id="later", due=now + 60_000)])
    failing = {"failures": 10, "error": "answered 503"}
    store.put("subscribers/down/breaker.json", json.dumps(failing).encode())
    node.outbox.enqueue(replace(fan_out, kind=TaskKind.DELIVERY, job_id="spared", subscriber="down"))
    env = {"OUTPUT_URL": f"file://{tmp_path}", "SUBSCRIBERS_URL": f"file://{tmp_path}/subscribers.json"}

    def listed(*options: str) -> dict[str, str]:
        shown = CliRunner().invoke(app, ["outbox", "--json", *options], env=env)
        return {
            f"{each['kind']} {each['jobId']}": f"{each['why']}: {each['detail']}" for each in json.loads(shown.stdout)
        }

    node.outbox.enqueue(replace(fan_out, kind=TaskKind.DELIVERY, job_id="missing", subscriber="nobody"))
    node.outbox.enqueue(node.eraser.task("erased", "request"))
    (tmp_path / "subscribers.json").write_text('{"version": 1, "subscribers": [{"id": "down"}]}')
    found = listed()
    assert found["delivery backing-off"] == "backing off: answered 500"
    assert found["publish held"].startswith("held by a worker: until 20")
    assert found["publish lost"].startswith("its worker died: it began at 20")
    assert found["publish later"] == "not due yet: "
    assert found["publish job"] == found["fanout job"] == "due: for the next sweep: "
    assert found["delivery spared"] == "the endpoint is spared: answered 503"
    assert found["delivery missing"].startswith("suspended: the subscriber is missing from SUBSCRIBERS_URL")
    assert listed("--subscriber", "down").keys() == {"delivery spared"}
    assert listed("--job", "held", "--since", "1h").keys() == {"publish held"}
    assert listed("--since", "2999-01-01") == {}
    assert len(listed("--limit", "2")) == 2
    (tmp_path / "subscribers.json").write_text("half-writ")
    assert listed("--job", "job")["fanout job"].startswith("suspended: SUBSCRIBERS_URL holds no valid JSON")
    assert listed("--job", "erased") == {"erase erased": "due: for the next sweep: "}


@pytest.mark.parametrize("command", [["outbox"], ["dead", "list"]])
def test_tables_fit_a_narrow_terminal(node: Node, tmp_path: Path, command: list[str]) -> None:
    env = {"OUTPUT_URL": f"file://{tmp_path}", "COLUMNS": "60"}
    node.outbox.enqueue(node.task("j" * 32))
    lines = CliRunner().invoke(app, command, env=env).stdout.splitlines()
    names = ("deliveries/", "notifications/", "jobs/")  # to be typed again, so never broken
    assert [line for line in lines if len(line) > 60 and not line.startswith(names)] == []


def test_outbox_shows_what_waits_to_whom_since_when_and_the_next_try(run: Run) -> None:
    shown = run("outbox")
    assert shown.exit_code == 0
    for part in ("1 waiting", "job2", "delivery succeeded", "cms", "2026-"):
        assert part in shown.stdout
    (entry,) = json.loads(run("outbox", "--json").stdout)
    assert (entry["kind"], entry["jobId"], entry["subscriber"], entry["attempt"]) == ("delivery", "job2", "cms", 2)
    assert entry["enqueuedAt"] < entry["nextTry"]


def test_dead_list_and_show(run: Run, node: Node) -> None:
    shown = run("dead", "list")
    assert shown.exit_code == 0
    for part in (LETTER, "answered 500", "jobs/job3", "MPS does not know job3", "is no message"):
        assert part in shown.stdout
    letters = {letter["name"]: letter for letter in json.loads(run("dead", "list", "--json").stdout)}
    assert letters.keys() == set(node.dead.names())
    one = run("dead", "show", LETTER)
    assert "answered 500" in one.stdout
    assert "oops" in one.stdout
    assert len(json.loads(run("dead", "show", LETTER, "--json").stdout)["attempts"]) == 2


def test_a_poison_message_is_shown_without_harm_to_the_terminal(run: Run, node: Node) -> None:
    (name,) = (each for each in node.dead.names() if each.startswith("notifications/"))
    shown = run("dead", "show", name)
    assert "[bold]" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_replay_enqueues_again_and_refuses_what_is_still_poison(run: Run, node: Node) -> None:
    assert run("dead", "replay").exit_code == 2
    assert run("dead", "replay", LETTER).stdout == f"enqueued again: {LETTER}\n"
    assert run("dead", "replay", "jobs/job3").exit_code == 0
    again = run("dead", "replay", LETTER)
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"{LETTER}: there is no dead letter" in again.stderr
    refused = run("dead", "replay", "--all")
    assert refused.exit_code == 1
    assert "still not understood" in refused.stderr
    waiting = {(task.kind.value, task.job_id) for task in node.outbox.listed()}
    assert waiting == {("delivery", "job1"), ("delivery", "job2"), ("publish", "job3")}
    assert len(list(node.dead.names())) == 1


def test_a_message_that_is_understood_by_now_is_enqueued(run: Run, node: Node) -> None:
    node.dead.keep_notification(b'{"Type":"smarttag","JobId":"job9","State":"Success"}', "an older version said so")
    (name,) = (each for each in node.dead.names() if "notifications/" in each and b"job9" in node.dead.raw(each))
    assert json.loads(run("dead", "replay", name, "--json").stdout) == {"enqueued": [name], "failed": {}}
    assert ("publish", "job9") in {(task.kind.value, task.job_id) for task in node.outbox.listed()}


def test_one_letter_that_cannot_be_replayed_keeps_none_of_the_others_back(run: Run, node: Node) -> None:
    (poison,) = (each for each in node.dead.names() if each.startswith("notifications/"))
    shown = run("dead", "replay", poison, LETTER, "jobs/job3", "--json")
    assert shown.exit_code == 1
    told = json.loads(shown.stdout)
    assert told["enqueued"] == [LETTER, "jobs/job3"]
    assert told["failed"].keys() == {poison}
    assert list(node.dead.names()) == [poison]


def test_letters_are_listed_and_replayed_by_subscriber_job_reason_and_time(
    run: Run, node: Node, tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path)
    for hour, job, who, reason in (
        (1, "a", "x", "Timed out"),
        (2, "b", "x", "answered 500"),
        (3, "b", "y", "timed OUT"),
    ):
        letter = {"kind": "delivery", "jobId": job, "event": "succeeded", "subscriber": who, "reason": reason}
        about = {**letter, "deadAt": f"2025-03-01T0{hour}:00:00.000Z", "version": 2}
        store.put(f"dead/deliveries/{job}~succeeded~{who}~0.json", json.dumps(about).encode())
    store.put("dead/deliveries/broken~succeeded~x~0.json", b"no JSON")

    def listed(*options: str) -> set[str]:
        found = json.loads(run("dead", "list", *options, "--until", "2025-04-01", "--json").stdout)
        return {
            f"{each['jobId']}{each['subscriber']}" if "jobId" in each else each["unreadable"][:20] for each in found
        }

    faulty = "dead/'deliveries/bro"

    assert listed("--subscriber", "x") == {"ax", "bx", faulty}
    assert listed("--job", "b") == {"bx", "by"}
    assert listed("--reason", "TIMED out") == {"ax", "by", faulty}
    assert listed("--since", "2025-03-01T02:00:00Z") == {"bx", "by", faulty}
    assert listed("--since", "2025-03-01T02:00", "--utc", "--reason", "500") == {"bx", faulty}
    assert listed("--since", "2025-03-01T09:30+08:00", "--reason", "timed") == {"by", faulty}
    assert listed("--since", "2h") == {faulty}
    for none in ("yesterday", "999999w"):
        assert run("dead", "list", "--since", none).exit_code == 2
    done = run("dead", "replay", "--subscriber", "x", "--reason", "500", "--json", "--until", "2025-03-01T12:00Z")
    assert json.loads(done.stdout)["enqueued"] == ["deliveries/b~succeeded~x~0"]
    assert json.loads(done.stdout)["failed"].keys() == {"deliveries/broken~succeeded~x~0"}
    assert [task.job_id for task in node.outbox.listed() if task.subscriber == "x"] == ["b"]
    assert run("dead", "replay", "--all", "--job", "b").exit_code == 2


def test_times_are_shown_in_the_zone_of_the_machine_or_in_utc(run: Run, tmp_path: Path) -> None:
    letter = {"kind": "publish", "jobId": "z", "reason": "r", "deadAt": "2025-03-01T01:02:03.000Z", "version": 2}
    DirectoryStore(tmp_path).put("dead/jobs/z.json", json.dumps(letter).encode())
    here = datetime(2025, 3, 1, 1, 2, 3, tzinfo=timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert here in run("dead", "list", "--job", "z").stdout
    shown = run("dead", "list", "--job", "z", "--utc").stdout
    assert "2025-03-01 01:02:03" in shown
    assert "UTC" in shown
    assert "deadAt: 2025-03-01 01:02:03 UTC" in run("dead", "show", "jobs/z", "--utc").stdout


def test_a_message_of_too_many_events_is_split_and_what_nobody_understands_of_it_is_kept(run: Run, node: Node) -> None:
    messages = [{"Type": "smarttag", "JobId": f"many{number}", "State": "Success"} for number in range(150)]
    event = json.dumps([*messages, {"neither": "known"}, messages[0]]).encode()
    (poison,) = parse(event)
    assert isinstance(poison, Poison)
    node.dead.keep_notification(event, poison.reason)
    (name,) = (each for each in node.dead.names() if each.startswith("notifications/") and node.dead.raw(each) == event)
    assert run("dead", "replay", name).exit_code == 0
    found = {task.job_id for task in node.outbox.listed() if task.job_id.startswith("many")}
    assert len(found) == 150
    kept = [node.dead.raw(each) for each in node.dead.names() if each.startswith("notifications/")]
    assert b'{"neither":"known"}' in kept
    assert event not in kept


def test_two_commands_to_send_again_that_were_poison_are_two(run: Run, node: Node) -> None:
    for request in ("0", "", ""):
        command = {"command": "publish", "jobId": "job1", "redeliver": True, "requestId": request, "nr": len(request)}
        node.dead.keep_notification(json.dumps(command).encode(), "an older version did not know it")
    node.dead.keep_notification(b' {"command": "publish", "jobId": "job1", "redeliver": true}', "as above")
    assert run("dead", "replay", "--reason", "an older", "--json").exit_code == 0
    assert run("dead", "replay", "--reason", "as above").exit_code == 0
    series = {task.series for task in node.outbox.listed() if task.kind is TaskKind.PUBLISH and task.job_id == "job1"}
    assert len(series) == 3
    assert redelivery_id("0") in series


def test_replaying_a_redelivery_that_was_given_up_sends_it() -> None:
    """With the id and the body of the first delivery, however often it was given up."""
    clock, receivers = Clock(), Receivers(lambda _who, _before: FAILED)
    node = Node(MemoryStore(clock), reader(subscriber("cms")), receivers, clock=clock)
    node.tell("job1")
    names = [LETTER]
    for _ in range(3):
        for _ in range(12):
            clock.now += 30 * 3600
            node.sweep()
        (letter,) = node.dead.read(Selection(subscriber="cms"))
        assert letter.name not in names[1:]
        names.append(letter.name)
        before = len(receivers.arrived)
        (done,) = node.dead.replay_all([letter, letter], node.publisher.enqueue_event)[1:]
        assert done.error is None
        assert list(node.dead.names()) == []
        node.sweep()
        assert len(receivers.arrived) == before + 1
    assert len(set(receivers.arrived)) == 1


def test_a_place_where_nothing_was_ever_stored_is_named(tmp_path: Path) -> None:
    env = {"OUTPUT_URL": f"file://{tmp_path}/typo"}
    for command in (
        ["outbox"],
        ["dead", "list"],
        ["outbox", "--json"],
        ["jobs"],
        ["jobs", "--json"],
        ["rebuild", "--all"],
        ["catalogue", "rebuild"],
        ["backfill", "--from-catalogue", "--failures", str(tmp_path / "failed.txt")],
    ):
        shown = CliRunner().invoke(main.app, command, env=env)
        assert shown.exit_code == 0
        assert f"nothing was ever stored at file:///{str(tmp_path)[1:]}/typo: is OUTPUT_URL right?" in shown.stderr


@pytest.mark.parametrize(
    "command", [["outbox"], ["dead", "list"], ["dead", "show", "none"], ["dead", "replay", "none"]]
)
def test_whoever_asks_for_json_gets_some_also_where_the_store_cannot_be_asked(
    tmp_path: Path, command: list[str]
) -> None:
    run = [sys.executable, "-c", "from local.cli.main import main; main()", *command, "--json"]
    with OssStandIn(tmp_path) as oss:
        env = {"OUTPUT_URL": "oss://mistyped/out", "OSS_ENDPOINT": oss.url, "OSS_REGION": REGION}
        env |= {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret"}
        done = subprocess.run(run, env={**os.environ, **env}, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert "none" in told["failed"] if "replay" in command else done.stderr == f"smarttag: {told['error']}\n"


def test_no_name_is_cut_short_on_a_narrow_terminal(node: Node, tmp_path: Path) -> None:
    env = {"OUTPUT_URL": f"file://{tmp_path}", "COLUMNS": "60"}
    shown = CliRunner().invoke(app, ["dead", "list"], env=env).stdout
    assert all(name in shown for name in node.dead.names())
    node.outbox.enqueue(node.task("j" * 64))
    assert "j" * 64 in CliRunner().invoke(app, ["outbox"], env=env).stdout


def test_when_there_is_nothing(tmp_path: Path) -> None:
    env = {"OUTPUT_URL": f"file://{tmp_path}/empty"}
    assert CliRunner().invoke(app, ["outbox"], env=env).stdout == "Nothing is waiting.\n"
    assert CliRunner().invoke(app, ["dead", "list"], env=env).stdout == "There are no dead letters.\n"
    assert CliRunner().invoke(app, ["dead", "list", "--json"], env=env).stdout == "[]\n"
