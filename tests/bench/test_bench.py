"""A quick run goes from end to end and leaves files that can be read. It asserts no figure that a clock gave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
from defusedxml import ElementTree

from local.bench.budgets import BUDGETS
from local.cloud.world import ROOT


def test_a_quick_run_of_the_tree_writes_figures_and_a_chart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.bench", "--quick", "--tree", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.svg"]
    run = orjson.loads((tmp_path / "bench.json").read_bytes())
    lines = {line["key"]: line for line in run["lines"] if line["key"]}
    assert lines.keys() == BUDGETS.keys() - {"package-mb"}, "the tree is no package"
    assert all(line["low"] <= line["value"] <= line["high"] for line in run["lines"])
    calls = {key: lines[key]["value"] for key in lines if key.startswith("store-")}
    assert all(0 < count <= BUDGETS[key].most for key, count in calls.items()), calls
    assert "cold callback / eager official SDKs" in done.stdout
    texts = [
        each.text or "" for each in ElementTree.parse(tmp_path / "bench.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    assert all(any(line["what"].startswith(text) for text in texts if text) for line in lines.values())
