"""The model of what many jobs cost, and the simulation that checks it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from local.bench.quotas import DAY, MPS_PER_SECOND, Load, simulate
from local.cloud.world import ROOT

LOAD = Load(
    jobs=DAY,
    peak=1.0,
    notifications=1,
    queries=1.0,
    store_calls=18,
    cpu_seconds=0.5,
    waiting_seconds=1.0,
    cpu=0.5,
    memory=1.0,
    disk=0.5,
    instances=100,
)  # fmt: skip - one job a second, which lasts two


def test_a_job_costs_what_the_price_list_says_of_its_seconds() -> None:
    a_job = 2 * (0.5 * 1.0 + 1.0 * 0.15 + 0.5 * 0.05) + 75 / 10_000  # CU
    assert LOAD.cost() == pytest.approx((DAY * a_job + 1_440 * 75 / 10_000) * 0.000020)


def test_what_is_used_grows_with_the_busiest_second() -> None:
    used = replace(LOAD, peak=3.0).used()
    assert {name: rate for name, (rate, _) in used.items()} == pytest.approx(
        {"queries of MPS a second": 3.0, "requests to OSS a second": 54.0, "instances at once": 6.0}
    )


def test_below_the_limit_nothing_waits_and_above_it_nothing_is_lost() -> None:
    below = simulate(0.5 * MPS_PER_SECOND, 20)
    assert (below.lost, below.sweeps) == (0, 0)
    assert below.published == 10 * MPS_PER_SECOND
    above = simulate(3.0 * MPS_PER_SECOND, 20)
    assert (above.lost, above.published) == (0, 60 * MPS_PER_SECOND)
    assert above.sweeps > 0
    assert above.seconds >= 60, "the limit leaves no shorter time for three times as many"


def test_the_command_says_what_binds_first() -> None:
    command = [sys.executable, "-m", "local.bench.quotas", "--jobs", "1000", "--instances", "1", "--burst", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    (line,) = [line for line in done.stdout.splitlines() if "binds first" in line]
    assert line.strip().startswith("instances at once")
