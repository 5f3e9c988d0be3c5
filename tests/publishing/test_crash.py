"""The callback's process, killed at every single step and then redelivered: nothing is missing.

Everybody was told once or, where the crash fell between the receiver's 2xx and our receipt, twice alike.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson

from local.cloud.mps import MpsStandIn
from local.cloud.receiver import Receiver
from tests.outbox.process import SECRET

DOCUMENTED = Path("local/recorded/documented.json").read_bytes()
WORKER = str(Path(__file__).with_name("crash_worker.py"))


def test_the_callback_killed_at_every_step_loses_nothing(tmp_path: Path) -> None:
    with MpsStandIn({f"job-{number}": DOCUMENTED for number in range(400)}) as mps, Receiver(SECRET) as receiver:
        command = [sys.executable, WORKER, tmp_path, receiver.url, mps.url]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=240)
        deliveries = list(receiver.deliveries)
    steps = orjson.loads(done.stdout)
    assert steps > 30
    jobs = [f"job-{number}" for number in range(steps + 1)]
    heard = Counter(orjson.loads(delivery.body)["data"]["jobId"] for delivery in deliveries if delivery.verified)
    assert set(heard) == set(jobs)
    repeated = [job for job, times in heard.items() if times > 1]
    assert len(repeated) == 2, "after the 2xx, and before the receipt's effect"
    for job in repeated:
        first, second = (each for each in deliveries if f'"{job}"'.encode() in each.body)
        assert (first.id, first.body) == (second.id, second.body)
    undisturbed = {path.name: path.read_bytes() for path in (tmp_path / str(steps) / "jobs" / jobs[-1]).glob("*.*")}
    assert len(undisturbed) == 5
    for number, job in enumerate(jobs):
        files = {path.name: path.read_bytes() for path in (tmp_path / str(number) / "jobs" / job).glob("*.*")}
        wanted = {name: body.replace(jobs[-1].encode(), job.encode()) for name, body in undisturbed.items()}
        assert files["response.json"] == DOCUMENTED
        assert files["summary.json"] == wanted["summary.json"]
        assert files.keys() == wanted.keys()
        assert orjson.loads(files["manifest.json"])["jobId"] == job
    rows = [path.name.split("~")[1] for path in tmp_path.glob("*/catalogue/rows/*")]
    assert sorted(rows) == sorted(f"{job}.0.json" for job in jobs), "each job is in the catalogue, once"
    assert not [path for path in tmp_path.glob("*/outbox/**/*") if path.is_file()]
    assert not [path for path in tmp_path.glob("*/dead/**/*") if path.is_file()]
