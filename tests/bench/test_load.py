"""The load run counts what was lost, doubled, dead or left; here it is small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.bench.load import Scenario, run
from local.bench.target import tree
from local.cloud.world import ROOT


def test_every_job_is_told_once_however_often_it_is_notified_of(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.bench.load", "--notifications", "20", "--build", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "10 jobs, 20 notifications" in done.stdout
    assert "lost 0, doubled 0, dead 0, left 0" in done.stdout


def test_what_cannot_be_done_is_counted() -> None:
    came = run(tree(), Scenario("unreadable", 2, (b"{}",), times=1, subscribers=2), instances=1)
    assert (len(came.told), came.outcomes, came.dead) == (0, {"deferred": 2}, 0)
    assert came.left == 2
