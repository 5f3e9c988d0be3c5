"""Every listing of ``smarttag`` with hostile text wherever others write, on a terminal emulator."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pyte
import pytest
import typer
from typer.testing import CliRunner

from local.cli import demo, main, serve
from local.cli.printing import printable, say, say_json, say_table
from shared.storage.directory import DirectoryStore

# What each of these does to a terminal, or to markup, is in the words after it.
HOSTILE = (
    "\x1b[2J\x1b[Hcleared \x1b]0;owned\x07title \x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ "
    "\x9b2Jc1 \x90q\x9cdcs \x85nel \rreturned \b\b\bback \x00\x7f "
    "\u202eesrever \u2066isolate\u2069 \u200f\u061c \u2028separator "
    "[bold red]markup[/] [link=http://evil.example]x[/link] :smile: \x1bc\x1b(0lqk \ud800"
)
TEXT = HOSTILE.encode("utf-8", "replace").decode()
OURS = {"draw", "linefeed", "carriage_return", "select_graphic_rendition"}
WORDS = ("cleared", "title", "nel", "returned", "[bold red]markup[/]", ":smile:")


class _Events:
    """What a terminal is made to do, by pyte's names for it."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **_more: self.seen.setdefault(name, []).extend(given)


def show(output: bytes, width: int) -> str:
    """Return what stands on the screen; fail if the output did anything but write, break lines and set colours."""
    text = output.decode().replace("\n", "\r\n")  # as a terminal's driver does
    events = _Events()
    pyte.Stream(events).feed(text)
    assert events.seen.keys() <= OURS, events.seen.keys() - OURS
    drawn = "".join(events.seen["draw"])
    assert not {
        letter for letter in drawn if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    }
    screen = pyte.Screen(width, 600)
    pyte.Stream(screen).feed(text)
    assert screen.title == ""
    return "\n".join(line.rstrip() for line in screen.display).strip()


def letters(root: Path) -> None:
    """Put dead letters there that a person with access to the bucket, or a receiver, had written."""
    store = DirectoryStore(root)
    facts = {"version": 2, "jobId": "job1", "event": "succeeded", "subscriber": "cms", "deadAt": "2026-01-01T00:00:00Z"}
    attempt = {"attempt": 1, "at": TEXT, "status": 500, "durationMs": 1, "error": TEXT, "excerpt": TEXT}
    letter = {**facts, "kind": "delivery", "reason": TEXT, "attempts": [attempt], TEXT: TEXT}
    store.put("dead/deliveries/good.json", orjson.dumps(letter))
    store.put("dead/notifications/poison.json", orjson.dumps({**facts, "kind": "notification", "reason": TEXT}))
    store.put("dead/notifications/poison.raw", TEXT.encode() + b"\xff\x9b")
    store.put("dead/jobs/broken.json", b"{not json \x1b[2J")
    store.put("dead/jobs/[bold]odd.json", orjson.dumps(["no letter"]))
    store.put("dead/jobs/without.json", orjson.dumps({"kind": "publish", "reason": "no time"}))


def response() -> bytes:
    person = {"name": TEXT, "category": "politician", "ratio": 0.5, "occurrences": [{"from": 1, "to": 2}]}
    result = [{"Type": "VideoLabel", "Data": json.dumps({"persons": [person]})}, {"Type": TEXT, "Data": "x"}]
    return json.dumps(
        {"JobStatus": "Success", "Message": TEXT, "UserData": TEXT, "Results": {"Result": result}}
    ).encode()


@pytest.fixture(params=[60, 120])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def on_screen(tmp_path: Path, width: int) -> Callable[..., str]:
    """Return what a command leaves on a terminal of this width that has colours."""
    letters(tmp_path / "bucket")
    env = {
        "OUTPUT_URL": (tmp_path / "bucket").as_uri(),
        "SUBSCRIBERS_URL": (tmp_path / "subscribers.json").as_uri(),
        "COLUMNS": str(width),
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "FC_FUNCTION_NAME": "",
    }

    def run(*arguments: str, app: typer.Typer = main.app) -> str:
        done = CliRunner().invoke(app, list(arguments), env=env)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return show(done.output_bytes, width)

    return run


def flat(text: str) -> str:
    return "".join(letter for letter in text if letter not in " \n│┃")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_dead_list_goes_on_past_broken_letters_and_names_them(
    on_screen: Callable[..., str], options: list[str]
) -> None:
    shown = on_screen("dead", "list", *options)
    for name in ("deliveries/good", "notifications/poison", "jobs/broken", "jobs/[bold]odd", "jobs/without"):
        assert name in flat(shown)
    assert flat(shown).count("isnodeadletter") == 3
    for word in WORDS:
        assert flat(word) in flat(shown)


@pytest.mark.parametrize("name", ["deliveries/good", "notifications/poison"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_dead_show(on_screen: Callable[..., str], name: str, options: list[str]) -> None:
    shown = flat(on_screen("dead", "show", name, *options))
    for word in WORDS:
        assert flat(word) in shown


def test_dead_replay_names_what_cannot_be_replayed(on_screen: Callable[..., str]) -> None:
    shown = flat(on_screen("dead", "replay", "--all"))
    assert "enqueuedagain:deliveries/good" in shown
    for name in ("jobs/broken", "jobs/[bold]odd", "jobs/without", "notifications/poison"):
        assert f"smarttag:{name}:" in shown


def test_outbox_lists_only_what_is_ours(on_screen: Callable[..., str], tmp_path: Path) -> None:
    outbox = "outbox/1790000000000/"
    store = DirectoryStore(tmp_path / "bucket")
    store.put(f"{outbox}delivery~job1~succeeded~cms~0~01~1790000000000", b"{}")
    store.put(f"{outbox}delivery~[bold]~succeeded~cms~0~01~1790000000000", b"{}")
    shown = on_screen("outbox")
    assert "1 waiting" in shown
    assert "[bold]" not in shown


@pytest.mark.parametrize("options", [[], ["--json"], ["-o", "out"]])
def test_summarise(on_screen: Callable[..., str], tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "in" / "\x1b[2Jcleared\x9b\u202e[bold].json"
    path.parent.mkdir()
    path.write_bytes(response())
    if options[:1] == ["-o"]:
        options = ["-o", str(tmp_path / "out")]
    shown = flat(on_screen("summarise", str(path), *options))
    assert "cleared" in shown
    bad = path.with_name("bad\x1b[2J\x9b.json")
    bad.write_bytes(b"<Error/>")
    assert "bad\\u001b[2J\\u009b.json:thefileholdsXML" in flat(on_screen("summarise", str(bad), *options))
    assert "\\u001b" in on_screen("summarise", "no\x1b[2Jwhere")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_subscribers(on_screen: Callable[..., str], tmp_path: Path, options: list[str]) -> None:
    good = {"id": "cms", "url": "fc://a/b", "secrets": ["whsec_" + "A" * 32]}
    bad = {
        "id": TEXT,
        TEXT: TEXT,
        "events": [TEXT],
        "headers": {TEXT: TEXT},
        "url": TEXT,
        "secrets": [TEXT, f"env:{TEXT}"],
    }
    path = tmp_path / "subscribers.json"
    path.write_bytes(orjson.dumps({"version": 1, "subscribers": [good, bad]}))
    state = {"version": 2, "failures": 1, "since": TEXT, "at": TEXT, "error": TEXT}
    DirectoryStore(tmp_path / "bucket").put("subscribers/cms/breaker.json", orjson.dumps(state))
    shown = flat(on_screen("subscribers", "list", *options))
    assert all(flat(word) in shown for word in WORDS)
    assert "#2" in flat(on_screen("subscribers", "check", str(path), *options))
    assert "setINVOKE_ENDPOINT" in flat(on_screen("subscribers", "test", "cms", *options))


def test_markers(on_screen: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\u202e.json"
    path.write_bytes(response())
    assert "a\\u001b[2J\\u202e.edl:1markers" in flat(on_screen("markers", str(path), "--fps", "25"))


def test_token_refuses_a_hostile_name(on_screen: Callable[..., str]) -> None:
    assert "API_TOKENS" in on_screen("token", "new", "cms", "--scope", "read")
    assert "use 1 to 64 characters" in on_screen("token", "new", "a\x1b[2J", "--scope", "read")


def test_what_demo_and_serve_show(on_screen: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    person = {"name": TEXT, "category": TEXT, "seenMs": 1, "appearances": [[0, 1]]}
    lists: dict[str, Any] = {key: [] for key in ("tags", "concepts", "chapters", "textTags", "links", "alerts")}
    summary = {"status": TEXT, "persons": [person], **lists, "transcript": None, "screenText": None}
    (folder / "summary.json").write_bytes(orjson.dumps(summary))
    body = orjson.dumps({"type": TEXT, "data": {"jobId": TEXT}})
    receiver = SimpleNamespace(deliveries=[SimpleNamespace(body=body, verified=False)])
    cloud: Any = SimpleNamespace(receivers={"cms": receiver}, job=lambda _job_id: folder)
    job: Any = SimpleNamespace(job_id=TEXT, description=TEXT)
    app = typer.Typer()
    app.command("demo")(lambda: say_table(demo.COLUMNS, demo.rows(cloud, {TEXT: job}), frame=False))
    app.command("serve")(lambda: serve.watch(cloud, 0.3))
    for command in ("demo", "serve"):
        shown = flat(on_screen(command, app=app))
        assert all(flat(word) in shown for word in WORDS)
    assert "NOTVERIFIED" in shown


def test_json_that_is_printed_is_the_json_that_was_meant(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {HOSTILE: [HOSTILE, "\U000e0001 万立骏　👍"]}
    for indent in (None, 2):
        say_json(value, indent)
        printed = capsysbinary.readouterr().out
        assert json.loads(printed) == value
        assert "万立骏　👍" in printed.decode()


@pytest.mark.parametrize("title", ["2026年十月的全部作业-failed.txt", "x" * 200])
def test_a_narrow_table_does_not_break_its_title(capsys: pytest.CaptureFixture[str], title: str) -> None:
    say_table(("outcome", "jobs"), [("published", 1)], title)
    shown = capsys.readouterr().out
    assert title in shown if len(title) < 80 else title in shown.replace("\n", "").replace(" ", "")


def test_one_line_stays_one_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    say("reason\nname: forged\r\n")
    say("to standard error", error=True)
    captured = capsysbinary.readouterr()
    assert captured.out == b"reason\\u000aname: forged\\u000d\\u000a\n"
    assert captured.err == b"to standard error\n"


def test_every_code_point_a_terminal_could_obey_is_escaped() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(letter) for letter in printable(every)}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert {"Lu", "Lo", "Mn", "So", "Zs"} <= left


def test_a_name_made_of_dots_writes_nothing_above_the_output_folder(tmp_path: Path) -> None:
    given = tmp_path / "...json"
    given.write_bytes(response())
    output = tmp_path / "a" / "out"
    done = CliRunner().invoke(main.app, ["summarise", str(given), "-o", str(output)])
    assert done.exit_code == 0
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    assert (output / "response" / "summary.json").is_file()


def test_no_link_below_the_output_folder_is_followed(tmp_path: Path) -> None:
    given, output, other = tmp_path / "job.json", tmp_path / "out", tmp_path / "other"
    given.write_bytes(response())
    output.mkdir()
    other.mkdir()
    (output / "job").symlink_to(other)
    (tmp_path / "markers").symlink_to(other)
    for arguments in (["summarise", str(given), "-o", str(output)], ["markers", str(given), "--fps", "25"]):
        done = CliRunner().invoke(main.app, arguments)
        assert done.exit_code == 1
        assert "link" in done.output or "link" in str(done.exception)
    assert list(other.iterdir()) == []

    (output / "job").unlink()
    (output / "job").mkdir()
    precious = other / "precious"
    precious.write_text("as it was", encoding="utf-8")
    (output / "job" / "summary.json").symlink_to(precious)
    os.mkfifo(output / "job" / "report.html")
    assert CliRunner().invoke(main.app, ["summarise", str(given), "-o", str(output)]).exit_code == 0
    assert precious.read_text(encoding="utf-8") == "as it was"
    assert {path.is_file() and not path.is_symlink() for path in (output / "job").iterdir()} == {True}
