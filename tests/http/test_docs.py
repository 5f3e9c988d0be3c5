"""The examples of docs/http-api.md do what they show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.http.problems import BY_ERROR, ProblemType

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_shows_its_output() -> None:
    assert len(EXAMPLES) == len(re.findall(r"^```(?:sh|python)$", PAGE, re.MULTILINE)) >= 8


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """``smarttag serve`` as a reader starts it; yields the variables that it says to export."""
    command = [sys.executable, "-c", "from local.cli.main import main; main()", "serve", "--port", "0"]
    folder = tmp_path_factory.mktemp("served")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "export" in line)
        yield {"PATH": os.environ["PATH"], "FOLDER": str(folder)} | dict(re.findall(r"(\w+)=(\S+)", line))
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().endswith("stopped\n")
        assert process.wait(30) == 0


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("language", "code", "shown"), EXAMPLES)
def test_an_example(served: dict[str, str], language: str, code: str, shown: str) -> None:
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=served["FOLDER"], env=served, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip("\n") == shown.rstrip("\n")


def test_the_table_of_errors_lists_every_status() -> None:
    from shared.http import problems

    types = [found for found in [*vars(problems).values(), *BY_ERROR.values()] if isinstance(found, ProblemType)]
    listed = {
        int(status) for row in re.findall(r"^\| (\d[\d, ]+) \|", PAGE, re.MULTILINE) for status in row.split(", ")
    }
    assert listed == {found.status for found in types}
