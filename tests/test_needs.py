"""The hook that lets a machine without Chromium, Node or a second Python still run everything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs

PROBE = """
import pytest

@pytest.mark.needs("python3.999")
def test_of_a_tool_nobody_has():
    raise SystemError("ran")
"""


def run_probe(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_probe.py").write_text(PROBE, encoding="utf-8")
    root = Path(__file__).parent.parent
    (folder / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-c", str(root / "pyproject.toml"), f"--rootdir={folder}", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "CI_NO_SKIP"} | {"PYTHONPATH": str(root)} | env,
    )


def test_a_missing_tool_skips_and_says_which(tmp_path: Path) -> None:
    run = run_probe(tmp_path)
    assert (run.returncode, "needs python3.999, and none that runs was found" in run.stdout) == (0, True), run.stdout


def test_a_missing_tool_fails_where_everything_must_be_installed(tmp_path: Path) -> None:
    run = run_probe(tmp_path, CI_NO_SKIP="1")
    assert run.returncode == 1, run.stdout
    assert "needs python3.999" in run.stdout
    assert "SystemError" not in run.stdout


def test_a_name_on_the_path_that_does_not_run_is_no_tool(tmp_path: Path) -> None:
    shim = tmp_path / "python3.10"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    assert not needs.answers(str(shim))
    assert needs.answers(sys.executable)


@pytest.mark.needs("python3.10")
def test_a_found_python_has_the_version_asked_for() -> None:
    found = needs.find("python3.10")
    assert found is not None
    run = subprocess.run([found, "-V"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("Python 3.10.")
