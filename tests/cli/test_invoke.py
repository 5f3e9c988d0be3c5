"""``smarttag invoke``: what it sends is what a trigger sends, and what the function would not take is not sent."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from local.cli.environment import as_deployed
from shared.triggers import JobChanged, Skipped, parse

S = """#!/bin/sh
if [ "$1" = -v ]; then echo '@serverless-devs/s: 3.1.10, s-home: ~/.s, linux-x64, node-v20.19.5'; exit 0; fi
echo "$@" > "$SEEN/arguments"; echo "$FC_REGION $OSS_ENDPOINT" > "$SEEN/region"; cp "$6" "$SEEN/event.json"; exit 3
"""


def smarttag(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "s").write_text(S, encoding="utf-8")
    (folder / "s").chmod(stat.S_IRWXU)
    return subprocess.run(
        [Path(sys.executable).with_name("smarttag"), "invoke", *arguments],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "SEEN": str(folder), "MNS_TOPIC": "mps"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("given", "region", "endpoint"),
    [
        ({}, None, "https://oss-cn-shanghai.aliyuncs.com"),
        ({"REGION": "cn-beijing"}, "cn-beijing", "https://oss-cn-beijing.aliyuncs.com"),
        ({"MPS_REGION": "cn-hangzhou"}, None, "https://oss-cn-hangzhou.aliyuncs.com"),
        ({"OSS_REGION": "cn-beijing", "REGION": "cn-shanghai"}, "cn-shanghai", "https://oss-cn-beijing.aliyuncs.com"),
        ({"OSS_ENDPOINT": "https://media.example.com"}, None, "https://media.example.com"),
    ],
)
def test_a_laptop_reaches_oss_over_its_public_address(given: dict[str, str], region: str | None, endpoint: str) -> None:
    made = as_deployed(given)
    assert (made.get("FC_REGION"), made["OSS_ENDPOINT"]) == (region, endpoint)


@pytest.mark.parametrize("arguments", [[], ["job-1"], ["job-1", "--state", "Fail"]])
def test_what_is_sent_is_what_the_topics_trigger_sends(tmp_path: Path, arguments: list[str]) -> None:
    done = smarttag(tmp_path, *arguments)
    assert done.returncode == 3, "what s says is what it says"
    assert (tmp_path / "arguments").read_text().startswith("callback invoke -t template.yml --event-file /")
    event = (tmp_path / "event.json").read_bytes()
    assert orjson.loads(event)["TopicName"] == "mps"
    assert (tmp_path / "region").read_text() == " https://oss-cn-shanghai.aliyuncs.com\n", "so it is for every command"
    (message,) = parse(event)
    if arguments:
        assert message == JobChanged("job-1", "Fail" if "Fail" in arguments else "Success", "")
    else:
        assert isinstance(message, Skipped)


def test_it_can_be_looked_at_without_s(tmp_path: Path) -> None:
    done = smarttag(tmp_path, "job-1", "--print")
    assert done.returncode == 0
    assert parse(done.stdout.encode()) == (JobChanged("job-1", "Success", ""),)
    assert not (tmp_path / "arguments").exists()


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (b"hello", "would keep this as poison: neither JSON, nor XML, nor Base64"),
        (orjson.dumps([{"Type": "smarttag", "JobId": "a"}] * 101), "holds more than 100 messages"),
        (orjson.dumps({"Type": "smarttag", "JobId": "a", "UserData": "x" * 131072}), "Function Compute takes 131072"),
    ],
)
def test_an_event_over_a_limit_is_named_and_not_sent(tmp_path: Path, event: bytes, named: str) -> None:
    (tmp_path / "event").write_bytes(event)
    done = smarttag(tmp_path, "--event", str(tmp_path / "event"))
    assert (done.returncode, named in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "arguments").exists()


def test_wrong_use_sends_nothing(tmp_path: Path) -> None:
    assert smarttag(tmp_path, "--event", str(tmp_path / "none")).returncode == 1
    assert smarttag(tmp_path, "job-1", "--event", "x").returncode == 2
    assert smarttag(tmp_path, "a/b").returncode == 1
    assert not (tmp_path / "arguments").exists()
