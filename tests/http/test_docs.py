"""The examples of docs/http-api.md do what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.http.problems import BY_ERROR, ProblemType
from tests.http.fakes import DONE, WRITE, FakeService, make_app, serving

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_shows_its_output() -> None:
    assert len(EXAMPLES) == len(re.findall(r"^```(?:sh|python)$", PAGE, re.MULTILINE)) >= 8


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("language", "code", "shown"), EXAMPLES)
def test_an_example(tmp_path: Path, language: str, code: str, shown: str) -> None:
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    with serving(make_app(FakeService())) as url:
        env = {"PATH": os.environ["PATH"], "RELAY": url, "TOKEN": WRITE, "JOB": DONE}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip("\n") == shown.rstrip("\n")


def test_the_table_of_errors_lists_every_status() -> None:
    from shared.http import problems

    types = [found for found in [*vars(problems).values(), *BY_ERROR.values()] if isinstance(found, ProblemType)]
    listed = {
        int(status) for row in re.findall(r"^\| (\d[\d, ]+) \|", PAGE, re.MULTILINE) for status in row.split(", ")
    }
    assert listed == {found.status for found in types}
