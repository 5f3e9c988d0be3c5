"""A quick run goes from end to end and leaves files that can be read. It asserts no figure that a clock gave."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
from defusedxml import ElementTree

from local.bench.budgets import BUDGETS
from local.bench.measuring import single
from local.bench.results import Run
from local.cloud.world import ROOT


def test_a_quick_run_without_a_package_measures_the_tree_and_writes_figures_and_a_chart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.bench", "--quick", "--build", str(tmp_path), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.svg"]
    run = orjson.loads((tmp_path / "bench.json").read_bytes())
    assert any(note.startswith("The working tree was measured") and "make build" in note for note in run["notes"])
    assert {line["measured"].partition(",")[0] for line in run["lines"]} == {"tree", "peer"}
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


def test_a_line_over_its_budget_is_missed_unless_the_inputs_were_small() -> None:
    over = single("store-job", "calls", BUDGETS["store-job"].most + 1, "", "tree")
    held = single("store-sweep", "calls", BUDGETS["store-sweep"].most, "", "tree")
    compared = single("", "a peer", 1000, "", "peer")
    full = Run("", "3.10", 2, (0.0, 0.0, 0.0), judged=True, notes=(), lines=(over, held, compared))
    assert full.missed == [over]
    assert replace(full, judged=False).missed == []
