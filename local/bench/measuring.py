"""Interleaved rounds of fresh processes, and the lines they come to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from local.bench.target import Target

SCRIPT = Path(__file__).with_name("sample.py")
PEERS = Path(__file__).parent / "peers"
SECONDS = 300.0  # for one sample

Way = Callable[[], "Sample"]


@dataclass(frozen=True)
class Sample:
    """What one process took: seconds of CPU, peak bytes of memory, and the answer of its work."""

    seconds: float
    peak: int
    answer: Any


@dataclass(frozen=True)
class Line:
    """One measured figure.

    Attributes:
        key: of its budget; a line without one is for comparison only.
        what: ours / what it is compared with.
        value: the median of the rounds' ratios, or a count, or megabytes.
        low, high: the least and the greatest round.
        detail: the medians that were compared.
        measured: which code, on which Python.
        load: the load average when it was measured.
    """

    key: str
    what: str
    value: float
    low: float
    high: float
    detail: str
    measured: str
    load: float


def ours(target: Target, *arguments: str, environment: Mapping[str, str] | None = None) -> Sample:
    """Take a sample of the code that is measured."""
    return _run(target.python, str(target.code), arguments, environment or {})


def theirs(target: Target, *arguments: str, environment: Mapping[str, str] | None = None) -> Sample:
    """Take a sample of a peer, with the same interpreter."""
    path = {"PYTHONPATH": str(target.peers)} if target.peers else {}
    return _run(target.python, str(PEERS), arguments, path | dict(environment or {}))


def _run(python: str, folder: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Sample:
    clean = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    command = [python, str(SCRIPT), folder, *arguments]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"a sample failed: {' '.join(command)[:300]}\n{done.stderr.decode()[-2000:]}")
    return Sample(**json.loads(done.stdout.splitlines()[-1]))


def interleaved(ways: Mapping[str, Way], rounds: int) -> dict[str, list[Sample]]:
    """Take a sample of each way in each round, forwards and backwards in turn.

    Before several rounds comes one that does not count: it reads files that are not in memory yet, and may write byte
    code.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    for number in range(0 if rounds > 1 else 1, rounds + 1):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            sample = ways[name]()
            if number:
                samples[name].append(sample)
    return samples


def cpu(key: str, what: str, mine: list[Sample], peer: list[Sample], measured: str) -> Line:
    """Return the line of a ratio of CPU times."""
    one, other = [sample.seconds * 1000 for sample in mine], [sample.seconds * 1000 for sample in peer]
    return ratio(key, what, one, other, "ms", measured)


def peak(key: str, what: str, mine: list[Sample], peer: list[Sample], measured: str) -> Line:
    """Return the line of a ratio of peaks of memory."""
    one, other = [sample.peak / 1e6 for sample in mine], [sample.peak / 1e6 for sample in peer]
    return ratio(key, what, one, other, "MB", measured)


def ratio(key: str, what: str, mine: list[float], peer: list[float], unit: str, measured: str) -> Line:
    """Return the line of a ratio, taken round by round."""
    ratios = [one / other for one, other in zip(mine, peer, strict=True)]
    detail = f"{median(mine):,.0f} {unit} / {median(peer):,.0f} {unit}"
    return Line(key, what, median(ratios), min(ratios), max(ratios), detail, measured, os.getloadavg()[0])


def single(key: str, what: str, value: float, detail: str, measured: str) -> Line:
    """Return the line of what is the same in every round."""
    return Line(key, what, value, value, value, detail, measured, os.getloadavg()[0])
