"""One fault at any call of MPS, OSS or a receiver: the retried message ends in the bytes of an undisturbed run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest
from system import JOB, System, fault, message, system

ALLOW = (ip_network("127.0.0.0/8"),)
DOCUMENTED = Path("local/recorded/documented.json").read_bytes()
KINDS = ("answer", "reset", "reset-after", "stall", "stall-after", "cut")


def run(
    folder: Path, disturb: tuple[str, str, int] | None = None
) -> tuple[dict[str, bytes], set[tuple[str, bytes]], System]:
    with system(folder, {JOB: DOCUMENTED}, allow=ALLOW) as under_test:
        if disturb is not None:
            name, kind, number = disturb
            under_test.stand_ins[name].fail(fault(kind, number))
        under_test.receive(message())
        under_test.sweep()
        told = {(delivery.id, delivery.body) for delivery in under_test.receiver.deliveries if delivery.verified}
        return under_test.artifacts(), told, under_test


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, bytes], set[tuple[str, bytes]], dict[str, int]]:
    artifacts, told, under_test = run(tmp_path_factory.mktemp("undisturbed"))
    return artifacts, told, {name: len(each.requests) for name, each in under_test.stand_ins.items()}


def test_the_undisturbed_run_is_complete(
    undisturbed: tuple[dict[str, bytes], set[tuple[str, bytes]], dict[str, int]],
) -> None:
    artifacts, told, calls = undisturbed
    assert artifacts[f"{JOB}/response.json"] == DOCUMENTED
    assert {f"{JOB}/{name}" for name in ("summary.json", "report.html", "timeline.ndjson", "manifest.json")} <= set(
        artifacts
    )
    assert len(told) == 1
    assert (calls["mps"], calls["receiver"]) == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mps", "oss", "receiver"])
def test_one_fault_at_any_call_changes_nothing(
    name: str,
    kind: str,
    undisturbed: tuple[dict[str, bytes], set[tuple[str, bytes]], dict[str, int]],
    tmp_path: Path,
) -> None:
    artifacts, told, calls = undisturbed

    def check(number: int) -> None:
        found, heard, under_test = run(tmp_path / str(number), (name, kind, number))
        where = f"{kind} at call {number} of {name}"
        assert found == artifacts, where
        assert heard == told, where
        assert under_test.files("outbox") == {}, where
        assert under_test.files("dead") == {}, where

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(check, range(calls[name])))) == calls[name]
