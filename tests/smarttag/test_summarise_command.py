"""``smarttag summarise`` as a person runs it: real processes, real files."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import orjson
import pyte
import pytest

from local.cli import summarise
from local.recorded import jobs
from shared import __version__
from shared.smarttag import summarise as core

JOBS = jobs()
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from local.cli.main import main; main()", "summarise"]


def run(
    *arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60, env=env)


def test_one_file_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "job-1.json"
    path.write_bytes(JOBS["documented"].response)
    done = run(path)
    assert done.returncode == 0
    assert orjson.loads(done.stdout) == orjson.loads(core(JOBS["documented"].response, "job-1").to_json())


@pytest.mark.parametrize(
    ("closed", "status", "said"), [(">&-", 1, b"smarttag: output: Bad file descriptor\n"), ("2>&-", 0, b"")]
)
def test_a_closed_stream_is_told_if_it_can_be(tmp_path: Path, closed: str, status: int, said: bytes) -> None:
    path = tmp_path / "job-1.json"
    path.write_bytes(JOBS["documented"].response)
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, path], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr, bool(done.stdout)) == (status, said, status == 0)


def test_standard_input_and_one_line_for_a_script(tmp_path: Path) -> None:
    done = run("-", "--json", "-o", tmp_path, stdin=JOBS["rich"].response)
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["source"], told["error"], told["output"]) == ("-", None, str(tmp_path / "stdin"))
    assert (tmp_path / "stdin" / "summary.json").read_bytes() == core(JOBS["rich"].response, "stdin").to_json()
    assert {path.name for path in (tmp_path / "stdin").iterdir()} == {
        "summary.json",
        "report.html",
        "subtitles.vtt",
        "subtitles.srt",
        "transcript.txt",
        "timeline.ndjson",
    }


def test_a_folder_and_a_pattern_and_a_bad_file_among_good_ones(tmp_path: Path) -> None:
    given = tmp_path / "in"
    given.mkdir()
    for name in ("meta", "fail"):
        (given / f"{name}.json").write_bytes(JOBS[name].response)
    (given / "bad.json").write_bytes(b"<Error/>")
    done = run(given, given / "m*.json", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [f"{tmp_path}/out/fail: Fail", f"{tmp_path}/out/meta: Success"]
    assert b"bad.json: the file holds XML" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fail", "meta"]


def test_two_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "job.json" for folder in ("a", "b")]
    for path, name in zip(paths, ("meta", "fail"), strict=True):
        path.parent.mkdir()
        path.write_bytes(JOBS[name].response)
    first, second = summarise.run([str(path) for path in paths], tmp_path / "out")
    assert (first.error, "already holds" in second.error) == ("", True)
    assert orjson.loads((tmp_path / "out" / "job" / "summary.json").read_bytes())["status"] == "Success"


def test_what_jobs_left_behind_goes_by_their_ids(tmp_path: Path) -> None:
    for name in ("job-a", "job-b"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        (tmp_path / "jobs" / name / "response.json").write_bytes(JOBS["meta"].response)
    done = run(tmp_path / "jobs" / "*" / "response.json", "-o", tmp_path / "out")
    assert done.returncode == 0
    for name in ("job-a", "job-b"):
        assert orjson.loads((tmp_path / "out" / name / "summary.json").read_bytes())["jobId"] == name


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_output_is_utf_8_whatever_the_locale_and_the_file_name(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.json")
    path.write_bytes(JOBS["documented"].response)
    done = run(path, *options, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "万立骏" in done.stdout.decode()


@pytest.mark.parametrize("arguments", [["nowhere.json"], ["no-*.json"], [], [""], ["--nonsense"]])
def test_wrong_use_is_exit_status_2(arguments: list[str], tmp_path: Path) -> None:
    assert run(*(tmp_path / a if "." in a else a for a in arguments)).returncode == 2


def responses(folder: Path, good: int, bad: int) -> Path:
    folder.mkdir()
    for index in range(good):
        (folder / f"good-{index:03}.json").write_bytes(JOBS["meta"].response)
    for index in range(bad):
        (folder / f"bad-{index}.json").write_bytes(b"<Error/>")
    return folder


def test_the_end_counts_what_was_done(tmp_path: Path) -> None:
    given = responses(tmp_path / "in", 195, 5)
    done = run(given, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "195 done, 5 failed"
    assert len(done.stdout.splitlines()) == 195
    assert run(given, "--json").stdout.count(b"\n") == 200


def test_what_exists_is_skipped_on_request_unless_its_summary_is_missing(tmp_path: Path) -> None:
    given = responses(tmp_path / "in", 3, 1)
    assert run(given / "good-000.json", given / "good-001.json", "-o", tmp_path / "out").returncode == 0
    (tmp_path / "out" / "good-001" / "summary.json").unlink()  # as if the run had died there
    (tmp_path / "out" / "good-000" / "report.html").write_bytes(b"kept")
    done = run(given, "-o", tmp_path / "out", "--skip-existing")
    assert done.stderr.decode().splitlines()[-1] == "2 done, 1 skipped, 1 failed"
    assert (tmp_path / "out" / "good-000" / "report.html").read_bytes() == b"kept"
    assert (tmp_path / "out" / "good-001" / "summary.json").exists()
    assert run(given, "--skip-existing").returncode == 2


def test_what_a_newer_run_does_not_make_is_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    path, out = tmp_path / "job.json", tmp_path / "out" / "job"
    path.write_bytes(JOBS["rich"].response)
    assert run(path, "-o", out.parent).returncode == 0
    assert (out / "subtitles.vtt").exists()
    (out / "notes.txt").write_text("mine")
    path.write_bytes(JOBS["meta"].response)
    assert run(path, "-o", out.parent).returncode == 0
    assert {each.name for each in out.iterdir()} == {"notes.txt", "report.html", "summary.json", "timeline.ndjson"}


def job_folder(jobs_folder: Path, name: str) -> Path:
    folder = jobs_folder / name
    folder.mkdir(parents=True)
    (folder / "response.json").write_bytes(JOBS["meta"].response)
    for other in ("summary.json", "manifest.json"):
        (folder / other).write_bytes(b"{}")
    return folder


def test_the_layout_of_a_bucket_is_taken_at_each_of_its_levels(tmp_path: Path) -> None:
    folders = [job_folder(tmp_path / "bucket" / "jobs", name) for name in ("job-a", "job-b")]
    both = [str(folder / "response.json") for folder in folders]
    assert summarise.find([str(folders[0])]) == both[:1]
    assert summarise.find([str(tmp_path / "bucket" / "jobs")]) == both
    assert summarise.find([str(tmp_path / "bucket")]) == both
    done = run(tmp_path / "bucket" / "jobs", "--json")
    assert [json.loads(line)["summary"]["jobId"] for line in done.stdout.splitlines()] == ["job-a", "job-b"]


def test_a_published_job_is_not_written_over(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "jobs", "job-a")
    done = run(tmp_path / "jobs", "-o", tmp_path / "jobs")
    assert done.returncode == 1
    assert "use smarttag rebuild" in done.stderr.decode()
    assert (folder / "summary.json").read_bytes() == b"{}"


@pytest.mark.parametrize("content", [b"", b"<Error/>", b"[]", b'{"a', b'{"Code": "Throttling"}', b"{}"])
def test_errors_speak_of_the_file_and_not_of_mps(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    done = run(tmp_path / "bad.json")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"smarttag: {tmp_path}/bad.json: the file holds ")
    assert "MPS answered" not in done.stderr.decode()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(JOBS["meta"].response)
    (tmp_path / "out").write_bytes(b"no folder")
    done = run(tmp_path / "job.json", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.decode() == f"smarttag: {tmp_path}/job.json: {tmp_path}/out/job: Not a directory\n"


@pytest.mark.parametrize("arguments", [["-h"], ["summarise", "-h"], ["dead", "list", "-h"]])
def test_h_helps(arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND[:-1], *arguments], capture_output=True, check=True, timeout=60, text=True)
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("arguments", [["--version"], ["summarise", "--version"]])
def test_the_version_is_printed(arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND[:-1], *arguments], capture_output=True, check=True, timeout=60, text=True)
    assert done.stdout == f"smarttag {__version__}\n"


def on_terminal(*arguments: str | Path, columns: int = 80, cwd: Path | None = None) -> tuple[list[str], bytes, int]:
    """Run in a real terminal; return the lines that stand there in the end, all that was sent, and the exit status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [*COMMAND, *map(str, arguments)]
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=cwd) as process:
        os.close(theirs)
        sent = bytearray()
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(ours, 65536):
                sent += piece
        status = process.wait(60)
    os.close(ours)
    screen = pyte.HistoryScreen(columns, 24, history=1000, ratio=1.0)
    pyte.ByteStream(screen).feed(bytes(sent))
    above = ["".join(row[column].data for column in range(columns)) for row in screen.history.top]
    return [line.rstrip() for line in (*above, *screen.display)], bytes(sent), status


def test_lines_and_the_bar_leave_each_other_whole_on_a_terminal(tmp_path: Path) -> None:
    given = responses(tmp_path / "in", 40, 2)
    (given / "宽.json").write_bytes(JOBS["documented"].response)
    shown, sent, status = on_terminal(given, "-o", "out", columns=200, cwd=tmp_path)
    shown = [line for line in shown if line]
    assert status == 1
    assert b"\x1b[?25l" in sent  # a bar was drawn, and redrawn
    told = [f"out/good-{index:03}: Success" for index in range(40)]
    assert [line for line in shown if line.startswith("out/good")] == told
    assert sum(line.startswith("smarttag: ") for line in shown) == 2
    assert sum("Summarising" in line for line in shown) == 1
    assert "100%" in shown[-2]
    assert shown[-1] == "41 done, 2 failed"
    assert len(shown) == 40 + 2 + 1 + 2


def test_whole_summaries_on_a_terminal_have_no_bar_among_them(tmp_path: Path) -> None:
    given = responses(tmp_path / "in", 3, 0)
    shown, _, status = on_terminal(given)
    assert status == 0
    assert not any("Summarising" in line for line in shown)
    assert sum(line == '  "status": "Success",' for line in shown) == 3
