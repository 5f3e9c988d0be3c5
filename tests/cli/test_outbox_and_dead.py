"""``smarttag outbox`` and ``smarttag dead``, over a real directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from local.cli import dead, outbox
from shared.errors import BadInput
from shared.storage.directory import DirectoryStore
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
    assert json.loads(run("dead", "replay", name, "--json").stdout) == {"enqueued": [name]}
    assert ("publish", "job9") in {(task.kind.value, task.job_id) for task in node.outbox.listed()}


def test_one_letter_that_cannot_be_replayed_keeps_none_of_the_others_back(run: Run, node: Node) -> None:
    (poison,) = (each for each in node.dead.names() if each.startswith("notifications/"))
    shown = run("dead", "replay", poison, LETTER, "jobs/job3", "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout) == {"enqueued": [LETTER, "jobs/job3"]}
    assert list(node.dead.names()) == [poison]


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
