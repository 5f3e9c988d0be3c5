"""``smarttag subscribers``, over a real directory and a receiver on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from local.cli import main
from local.cloud.receiver import Receiver
from local.cloud.server import Response
from local.cloud.world import secret
from shared.errors import BadInput, ObjectNotFound
from shared.outbox.dead_letters import subscriber_of
from shared.storage.directory import DirectoryStore
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers
from tests.fakes.node import Clock, Node
from tests.fakes.receivers import FAILED, GONE, OK, Receivers

Run = Callable[..., Result]
SECRET = secret("cms")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as made:
        yield made


def entry(receiver: Receiver, name: str = "cms", **more: object) -> dict[str, object]:
    return {"id": name, "url": f"{receiver.url}/hooks/a-token-in-the-path", "secrets": ["env:SUBSCRIBER_CMS"], **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    env = {
        "OUTPUT_URL": (tmp_path / "bucket").as_uri(),
        "SUBSCRIBERS_URL": (tmp_path / "subscribers.json").as_uri(),
        "SUBSCRIBER_CMS": SECRET,
        "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        "COLUMNS": "160",
        "FC_FUNCTION_NAME": "",
    }
    return lambda *args, **more: CliRunner().invoke(main.app, ["subscribers", *args], env={**env, **more})


def write(tmp_path: Path, *entries: dict[str, object]) -> Path:
    path = tmp_path / "subscribers.json"
    path.write_bytes(orjson.dumps({"version": 1, "subscribers": entries}))
    return path


def node(tmp_path: Path, receiver: Receiver, receivers: Receivers, clock: Clock) -> Node:
    """Return a worker over the same bucket; what the file says is known to it beforehand."""
    url = f"{receiver.url}/hooks/a-token-in-the-path"
    good = tuple(Subscriber(name, url, (SECRET,)) for name in ("cms", "other"))
    found = Subscribers(good, (Broken("wrong", "payload must be thin or full"),))
    return Node(DirectoryStore(tmp_path / "bucket"), lambda: found, receivers, clock=clock)


def test_check_names_every_mistake_of_every_subscriber(run: Run, tmp_path: Path, receiver: Receiver) -> None:
    path = write(
        tmp_path,
        entry(receiver),
        entry(receiver, "unset", secrets=["env:SUBSCRIBER_NOT_SET"], payload="fat", when="a[["),
        entry(receiver, "taken", secrets=["env:ALIBABA_CLOUD_ACCESS_KEY_SECRET"]),
        entry(receiver, "inside", url="http://10.0.0.1/"),
        entry(receiver, "no id of mine \x1b[2J"),
    )
    done = run("check", str(path), OUTPUT_URL="", SUBSCRIBERS_URL="")
    assert done.exit_code == 1
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert lines.keys() == {"unset", "taken", "inside", "#5"}
    assert "environment variable SUBSCRIBER_NOT_SET is not set" in lines["unset"]
    assert "payload must be thin or full" in lines["unset"]
    assert "when " in lines["unset"]
    assert "set SUBSCRIBER_ALIBABA_CLOUD_ACCESS_KEY_SECRET" in lines["taken"]
    assert "1 of 5 subscribers are in order" in done.stdout
    told = {each["subscriber"]: each["faults"] for each in json.loads(run("check", str(path), "--json").stdout)}
    assert told["cms"] is None
    assert told["inside"] == lines["inside"]


def test_check_of_a_good_file_by_name_and_by_url(run: Run, tmp_path: Path, receiver: Receiver) -> None:
    path = write(tmp_path, entry(receiver))
    for source in (str(path), path.as_uri()):
        done = run("check", source)
        assert (done.exit_code, done.stdout) == (0, "1 of 1 subscribers are in order\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run("check", str(path)).exit_code == 0
    path.write_bytes(b"{")
    assert str(run("check", str(path)).exception).startswith(f"{path} holds no valid JSON")
    assert "no such file" in str(run("check", str(tmp_path / "nowhere")).exception)


def test_list_says_how_each_is_since_when_why_and_what_waits(run: Run, tmp_path: Path, receiver: Receiver) -> None:
    names = {"cms": {}, "other": {}, "idle": {}, "off": {"enabled": False}, "wrong": {"payload": "fat"}}
    write(tmp_path, *(entry(receiver, name, **more) for name, more in names.items()))
    clock = Clock()
    worker = node(tmp_path, receiver, Receivers(lambda who, _before: GONE if who == "other" else FAILED), clock)
    worker.tell("job1")
    clock.now += 61
    worker.tell("job2")
    found = {each["subscriber"]: each for each in json.loads(run("list", "--json").stdout)}
    assert {name: each["health"] for name, each in found.items()} == {
        "cms": "failing",
        "other": "gone",
        "idle": "ok",
        "off": "disabled",
        "wrong": "faulty",
    }
    assert (found["cms"]["waiting"], found["cms"]["last_error"]) == (2, "answered 500")
    assert (found["other"]["waiting"], found["other"]["dead"], found["other"]["last_error"]) == (0, 2, "answered 410")
    assert found["cms"]["since"] == found["other"]["since"] == "2026-09-21T14:13:20.000Z"
    assert "payload must be thin or full" in found["wrong"]["last_error"]
    for job in range(9):
        worker.tell(f"more{job}")
    shown = run("list").stdout
    for part in ("5 subscribers", "spared", "answered 410", "2026-09-21 14:13:20"):
        assert part in shown


def test_test_sends_a_signed_event_and_shows_the_answer(run: Run, tmp_path: Path, receiver: Receiver) -> None:
    write(tmp_path, entry(receiver, events=["smarttag.job.failed"], when="`false`"))
    done = run("test", "cms")
    assert (done.exit_code, done.stdout.startswith("cms: delivered, answered 204, ")) == (0, True)
    (came,) = receiver.deliveries
    assert came.verified
    body = orjson.loads(came.body)
    assert (body["type"], body["data"]["subscriber"]) == ("smarttag.test", "cms")

    receiver.reply(Response(500, b"no \x1b[2J route /hooks/a-token-in-the-path"))
    done = run("test", "cms")
    assert done.exit_code == 1
    assert "cms: failed, answered 500" in done.stdout
    assert "it says: no" in done.stdout
    assert not {"a-token-in-the-path", "\x1b"} & {
        part for part in ("a-token-in-the-path", "\x1b") if part in done.stdout
    }
    receiver.reply(Response(410))
    told = json.loads(run("test", "cms", "--json").stdout)
    assert (told["kind"], told["status"]) == ("gone", 410)
    assert not (tmp_path / "bucket").exists(), "nothing of a test is kept"


def test_resume_brings_back_whom_a_410_switched_off_with_all_that_was_missed(
    run: Run, tmp_path: Path, receiver: Receiver
) -> None:
    write(tmp_path, entry(receiver), entry(receiver, "other"))
    clock, answers = Clock(), {"cms": OK, "other": FAILED}
    receivers = Receivers(lambda who, _before: answers[who])
    worker = node(tmp_path, receiver, receivers, clock)
    worker.tell("job0")
    clock.now += 97 * 3600  # what the other did not take is given up
    worker.sweep()
    answers["cms"] = GONE
    for job in ("job1", "job2", "job3"):
        assert worker.tell(job)["cms"] == "gone"
    answers["cms"] = OK
    receivers.arrived.clear()

    done = run("resume", "cms")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "cms is told again; 3 deliveries go out with the next sweep"
    clock.now = time.time() + 1  # the command has no other clock
    worker.sweep()
    told = {orjson.loads(body)["data"]["jobId"] for who, _, body in receivers.arrived if who == "cms"}
    assert told == {"job1", "job2", "job3"}
    assert worker.tell("job4")["cms"] == "delivered"
    letters = {subscriber_of(name) for name in worker.dead.names()}
    assert letters == {"other", "wrong"}, "what was given up for another reason stays"
    assert json.loads(run("resume", "cms", "--json").stdout) == {"subscriber": "cms", "enqueued": []}


def test_one_that_is_disabled_is_not_resumed_and_what_it_missed_stays(
    run: Run, tmp_path: Path, receiver: Receiver
) -> None:
    write(tmp_path, entry(receiver))
    worker = node(tmp_path, receiver, Receivers(lambda _who, _before: GONE), Clock())
    assert worker.tell("job1")["cms"] == "gone"
    write(tmp_path, entry(receiver, enabled=False))
    assert "is disabled; enable it" in str(run("resume", "cms").exception)
    write(tmp_path, entry(receiver))
    assert json.loads(run("resume", "cms", "--json").stdout)["enqueued"] == ["deliveries/job1~succeeded~cms~0"]


@pytest.mark.parametrize("command", ["test", "resume"])
def test_who_is_not_there_or_wrong_is_named(run: Run, tmp_path: Path, receiver: Receiver, command: str) -> None:
    write(tmp_path, entry(receiver, "wrong", payload="fat"))
    unknown, wrong = run(command, "nobody").exception, run(command, "wrong").exception
    assert isinstance(unknown, ObjectNotFound)
    assert isinstance(wrong, BadInput)
    assert "payload must be thin or full" in str(wrong)
