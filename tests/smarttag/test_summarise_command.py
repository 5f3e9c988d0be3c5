"""``smarttag summarise`` as a person runs it: real processes, real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from local.cli import summarise
from local.recorded import jobs
from shared.smarttag import summarise as core

JOBS = jobs()
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
    assert b"bad.json: MPS answered XML" in done.stderr
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


def test_many_show_a_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    sources = []
    for index in range(3):
        path = tmp_path / f"{index}.json"
        path.write_bytes(JOBS["meta"].response)
        sources.append(str(path))
    with (tmp_path / "terminal").open("w+") as terminal:
        console = Console(file=terminal, force_terminal=True, width=80)
        outcomes = list(summarise.progressing(sources, None, console))
        terminal.seek(0)
        shown = terminal.read()
    assert len(outcomes) == 3
    assert "Summarising" in shown
    assert "100%" in shown
