"""docs/deploy.md, every command in its order, as a new user types them: over the local cloud and the real ``s``.

The component that would create things is one of ours, which records what it is given; ``aliyun`` is recorded too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import USER
from local.cloud.oss import BUCKET
from local.cloud.world import ALLOWED, CALLBACK, SECRETS, SUBSCRIBERS, TOKEN, World, world
from shared.settings import Settings
from tests.deploy.serverless_devs import CLI, OFFLINE, ROOT, project

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
PIPELINE = {"Id": "88c6", "Name": "tags", "State": "Active", "NotifyConfig": {"Topic": "smarttag"}}


def commands() -> str:
    """Return the page's commands, those in its lists included; at the end those of ``s`` that stand in sentences."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    inline = set(re.findall(r"`(s [a-z ]+ -t [^`]+)`", PAGE)) - {"s deploy -y -t template.yml"}
    assert {"s info -t template.yml", "s remove -t template.yml"} <= inline
    return "\n".join([*map(textwrap.dedent, blocks), *sorted(inline)])


def clone(folder: Path) -> Path:
    """Make what a clone of the project holds, with an environment that is there already and a build that is none."""
    folder.mkdir()
    made = project(folder)
    for template in ("docs/fc2/template.yml", "docs/domain/template.yml"):
        text = (ROOT / template).read_text(encoding="utf-8")
        (made / template).parent.mkdir(parents=True)
        (made / template).write_text(re.sub(r"component: \S+", "component: ./fc3", text), encoding="utf-8")
    (made / ".venv").symlink_to(sys.prefix)
    for name in ("requirements.txt", "pyproject.toml", "shared/__init__.py"):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes((ROOT / name).read_bytes())
        os.utime(made / name, (0, 0))
    (made / "project.mk").write_bytes((ROOT / "Makefile").read_bytes())
    (made / "Makefile").write_text("include project.mk\nbuild:\n\techo built $(RELAY_PYTHON) >> built.txt\n")
    return made


def programs(folder: Path) -> str:
    """Return a PATH with the real ``s`` and an ``aliyun`` that notes what it is asked."""
    folder.mkdir()
    node = shutil.which("node")
    (folder / "s").write_text(f'#!/bin/sh\nexec "{node}" --require "{OFFLINE}" "{CLI}" "$@"\n')
    (folder / "aliyun").write_text(f"#!{sys.executable}\nimport json, sys\nprint('aliyun', json.dumps(sys.argv[1:]))\n")
    for name in ("s", "aliyun"):
        (folder / name).chmod(0o755)
    return f"{folder}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


def environment(running: World, folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder / "clone" / "home"),
        "PATH": programs(folder / "bin"),
        "NODE_ENV": "test",
        "NO_COLOR": "1",
        "MPS_ENDPOINT": running.mps.url,
        "OSS_ENDPOINT": running.oss.url,
        "SUBSCRIBERS_URL": f"oss://{BUCKET}/{SUBSCRIBERS}",
        "SUBSCRIBER_ARCHIVE_SECRET": SECRETS["archive"],
        "WEBHOOK_ALLOW_CIDRS": ALLOWED,
        "API_TOKENS": f"me:write:{'0' * 64}",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": USER.access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": USER.access_key_secret,
        "TOKEN": TOKEN,
        "SMARTTAG_TOKEN": TOKEN,
        "PUBLIC_DOMAIN": "videos.example.com",
        "CERTIFICATE_ID": "21130608",
    }


@pytest.mark.needs("node")
def test_the_page_walked_through_as_a_new_user(tmp_path: Path) -> None:
    jobs = {each.job_id: each.response for each in recorded.jobs().values() if each.name in {"meta", "asr"}}
    one, other = jobs
    made = clone(tmp_path / "clone")
    (made / "ids.txt").write_text(f"{one}\n{other}\n", encoding="utf-8")
    script = commands()
    with world(tmp_path / "cloud", jobs, sweep_seconds=3600) as running:
        running.mps.set_pipelines([PIPELINE])
        for placeholder, value in {
            "your-bucket": BUCKET,
            "https://YOUR-ADDRESS": running.http.url,
            "https://videos.example.com": running.http.url,
            "A-FINISHED-JOB": one,
            "A-JOB ANOTHER": f"{one} {other}",
        }.items():
            assert placeholder in script
            script = script.replace(placeholder, value)
        (made / "walk.sh").write_text(f'set -euo pipefail\n{script}\necho "LINK_KEYS=$LINK_KEYS"\n', encoding="utf-8")
        with (tmp_path / "output.txt").open("w+", encoding="utf-8") as output:
            status = subprocess.run(
                ["/bin/bash", "walk.sh"],
                cwd=made,
                env=environment(running, tmp_path),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=300,
                check=False,
            ).returncode
            output.seek(0)
            said = output.read()
        assert status == 0, said
        check_what_was_deployed(made)
        check_the_sample_messages(made, running, one)
        assert {path.parent.name for path in running.objects.glob("jobs/*/manifest.json")} == set(jobs)
    assert "pipeline tags (88c6) notifies the topic smarttag" in said
    assert f"oss://{BUCKET}/smarttag over" in said
    asked = next(line for line in said.splitlines() if line.startswith("aliyun "))
    asked = json.loads(asked.removeprefix("aliyun "))
    assert asked[:2] == ["mts", "UpdatePipeline"]
    assert json.loads(asked[asked.index("--NotifyConfig") + 1]) == {"Topic": "smarttag"}
    keys = said.rpartition("LINK_KEYS=")[2].strip()
    assert Settings.from_env({"OUTPUT_URL": f"oss://{BUCKET}/a", "LINK_KEYS": keys}).link_keys


def check_what_was_deployed(made: Path) -> None:
    lines = (made / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    props = [json.loads(line) for line in lines]
    functions = [each for each in props if "functionName" in each]
    assert [each["functionName"] for each in functions] == ["smarttag-callback", "smarttag-api"] * 2
    urls = [each["environmentVariables"]["PUBLIC_URL"] for each in functions]
    assert urls[:2] == ["", ""]
    assert urls[2] == urls[3] != ""
    assert sum("service" in each for each in props) == 2, "those of FC 2.0"
    (domain,) = (each for each in props if "domainName" in each)
    assert domain["routeConfig"]["routes"] == [
        {"path": "/*", "functionName": functions[1]["functionName"], "qualifier": "LATEST"}
    ]
    assert domain["certConfig"] == {"certId": "21130608"}
    assert (made / "built.txt").read_text() == "built 3.10\n" * 3, "a domain needs no package"


def check_the_sample_messages(made: Path, running: World, job: str) -> None:
    """Give the deployed callback what ``make invoke`` sent."""
    lines = (made / "fc3" / "invoked.ndjson").read_text(encoding="utf-8").splitlines()
    sent = [json.loads(line) for line in lines]
    assert [name for name, _ in sent] == [CALLBACK, CALLBACK]
    answers = [orjson.loads(running.functions.invoke(CALLBACK, event.encode()).payload) for _, event in sent]
    outcomes = [answer["results"][0]["outcome"] for answer in answers]
    assert outcomes == ["skipped", "duplicate"], "the job was published by the backfill of the same walk"
    assert answers[1]["results"][0]["jobId"] == job
