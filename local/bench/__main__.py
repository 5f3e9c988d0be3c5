"""``python -m local.bench``: every budget as a figure of one run. Exit status: 1 where one is missed, 130 interrupted.

The built package is measured, with the Python it is built for; without one, or with ``--tree``, the working tree.
Fresh processes take turns, so that what else the machine does meets all of them alike; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from local.bench import cold, decoding, fanout, largest, results, scaling
from local.bench.measuring import Line, single
from local.bench.results import Run
from local.bench.target import ROOT, NotMeasurable, Target, in_memory, package, tree
from local.packaging.package import NAME


@dataclass(frozen=True)
class Plan:
    """How much is measured: rounds of each kind, the size of inputs beside real ones, receivers of the fan-out."""

    decoding: int
    cold: int
    scaling: int
    fanout: int
    scale: float
    receivers: int


FULL = Plan(decoding=7, cold=15, scaling=5, fanout=7, scale=1.0, receivers=200)
QUICK = Plan(decoding=1, cold=1, scaling=1, fanout=1, scale=0.01, receivers=8)


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m local.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of small inputs: shows that it runs, no more")
    parser.add_argument("--tree", action="store_true", help="measure the working tree with this Python")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where package/ and its archive lie")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench", help="where bench.json and .svg go")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as an interrupt does
    try:
        run = _run(QUICK if chosen.quick else FULL, None if chosen.tree else chosen.build, chosen.output)
        results.show(run)
        print(*results.save(run, chosen.output), sep="\n")
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    for line in run.missed:
        print(f"over budget: {line.what}")
    return 1 if run.missed else 0


def _run(plan: Plan, build: Path | None, output: Path) -> Run:
    load, cores, began = os.getloadavg(), os.cpu_count() or 1, datetime.now(timezone.utc)
    notes = []
    if load[0] > cores / 2:
        notes.append(f"The machine is loaded ({load[0]:.1f}): trust ratios with a narrow spread, and no times.")
    if plan is QUICK:
        notes.append("A quick run: its inputs are too small to be held against the budgets.")
    target = tree()
    if build is not None:
        try:
            target = package(build / "package", output)
        except NotMeasurable as error:
            notes.append(f"The working tree was measured, not the package: {error}.")
    with TemporaryDirectory(dir=in_memory()) as folder:
        lines = tuple(_lines(plan, target, Path(folder)))
    return Run(
        *(
            began.isoformat(timespec="seconds"),
            platform.python_version(),
            cores,
            load,
            plan is FULL,
            tuple(notes),
            lines,
        )
    )


def _lines(plan: Plan, target: Target, folder: Path) -> Iterator[Line]:
    print(f"measuring the {target.name} with Python {target.minor}", file=sys.stderr)
    yield from decoding.measure(target, folder, plan.decoding, plan.scale)
    print("the largest response", file=sys.stderr)
    yield from largest.measure(target, folder / "largest", plan.scale)
    print("cold starts", file=sys.stderr)
    yield from cold.measure(target, folder / "oss", plan.cold)
    print("what must not grow", file=sys.stderr)
    yield from scaling.measure(target, folder / "scaling", plan.scaling, plan.scale)
    print("fan-out", file=sys.stderr)
    yield from fanout.measure(plan.receivers, plan.fanout)
    archive = target.code.with_name(f"{NAME}.zip")
    if target.code != ROOT and archive.exists():
        yield single("package-mb", "the zipped package, MB", archive.stat().st_size / 1e6, "", str(target))


if __name__ == "__main__":
    sys.exit(main())
