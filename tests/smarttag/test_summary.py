"""The documented response to the figure, a golden summary for every kind of job, and the same bytes everywhere."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import orjson
import pytest

from local.recorded import jobs
from shared.jobs import ARTIFACTS, JobStatus
from shared.smarttag import analyse, make_artifacts, summarise
from shared.smarttag.model import Artifact, Range, Status, Summary
from tests import needs
from tests.smarttag.test_any_input import SCHEMA, check

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent.parent
JOBS = jobs()
# Prints one hash over the summaries of all recorded jobs.
HASH_ALL = """
import hashlib, sys
sys.path.append(sys.argv[1])
from local.recorded import jobs
from shared.smarttag import summarise
whole = hashlib.sha256()
for job in jobs().values():
    whole.update(summarise(job.response, job.job_id).to_json())
print(whole.hexdigest())
"""


def artifacts_of(name: str) -> tuple[Artifact, ...]:
    return make_artifacts(analyse(JOBS[name].response, JOBS[name].job_id))


@pytest.fixture(scope="module")
def documented() -> Summary:
    job = JOBS["documented"]
    return summarise(job.response, job.job_id)


def test_documented_persons(documented: Summary) -> None:
    named = [person for person in documented.persons if person.category != "unknown"]
    assert len(documented.persons) == 10
    assert documented.persons[:2] == tuple(named)
    assert [(p.name, p.category, p.sensitive, p.seenMs, p.sumMs, p.ratio) for p in named] == [
        ("万立骏", "politician", True, 12120, 12120, 0.252),
        ("徐绍川", "politician", True, 4520, 4520, 0.094),
    ]
    assert sorted(person.name for person in documented.persons[2:]) == [f"未知人脸{n}" for n in range(1, 9)]
    first = named[0]
    assert first.appearances == ((2440, 5320), (11440, 13560), (16440, 19200), (24440, 26320), (42600, 45080))
    assert (first.firstMs, first.lastMs, first.appearanceCount, first.bestScore) == (2440, 45080, 5, 0.972)
    assert first.shots == {"medium-closeUp": 5}
    assert first.bestFrame is not None
    assert (first.bestFrame.timestampMs, first.bestFrame.score) == (4560, 0.972)
    assert first.bestFrame.position == {"leftTop": [455, 51], "rightBottom": [1117, 389]}
    assert all(person.bestScore is None for person in documented.persons[2:])


def test_documented_rest(documented: Summary) -> None:
    assert [(tag.group, tag.name, tag.seenMs) for tag in documented.tags] == [("场景", "公寓", 2240)]
    assert [(c.category1, c.category2, c.score) for c in documented.classifications] == [("资讯", "社会资讯", 0.688)]
    assert {tag.name: tag.values for tag in documented.textTags} == {
        "人物": ("习近平", "万立骏"),
        "关键词": (
            "自治区",
            "群众性",
            "中国特色社会主义",
            "慰问",
            "中国梦",
            "统战部",
            "调研",
            "总书记",
            "南宁市",
            "政治性",
            "先进性",
        ),
        "组织机构": ("党中央", "中国侨联党组"),
        "地域": ("南宁市", "中国"),
    }
    assert (documented.status, documented.userData, documented.jobId) == (
        "Success",
        "take back to me",
        "88c6ca184c0e47098a5b665e2a126797",
    )
    assert [(alert.kind, alert.name) for alert in documented.alerts] == [
        ("politician", "万立骏"),
        ("politician", "徐绍川"),
    ]
    assert (documented.transcript, documented.screenText, documented.warnings) == (None, None, ())


def test_documented_duration_is_inferred_as_tightly_as_the_ratios_allow(documented: Summary) -> None:
    media = documented.media
    assert (media.kind, media.durationSource) == ("video", "inferred")
    assert media.durationMs is not None
    assert media.durationErrorMs is not None
    low, high = media.durationMs - media.durationErrorMs, media.durationMs + media.durationErrorMs
    assert 48155 <= low < high <= 48172
    for seen in (*documented.persons, *documented.tags):
        # Rounded as the vendor does, every whole millisecond of the bound gives back the vendor's ratio.
        assert round(seen.sumMs / low, 3) == seen.ratio == round(seen.sumMs / high, 3)


@pytest.mark.parametrize("name", sorted(set(JOBS) - {"large"}))
def test_golden(name: str) -> None:
    """What lies there is the summary as ``smarttag summarise`` prints it, with the recorded job's ID."""
    job = JOBS[name]
    summary = summarise(job.response, job.job_id)
    check(summary)
    assert (
        orjson.dumps(orjson.loads((GOLDEN / f"{name}.json").read_bytes()), option=orjson.OPT_SORT_KEYS)
        == summary.to_json()
    )


def test_the_large_job() -> None:
    summary = summarise(JOBS["large"].response, JOBS["large"].job_id)
    check(summary)
    assert len(summary.persons) + len(summary.tags) == 80
    assert sum(seen.appearanceCount for seen in (*summary.persons, *summary.tags)) == 12_000
    assert summary.media.durationMs == pytest.approx(7_200_000, abs=summary.media.durationErrorMs)
    assert summary.media.durationErrorMs is not None
    assert summary.media.durationErrorMs < 2000
    assert summary.warnings == ()


def test_other_processes_write_the_same_bytes() -> None:
    assert _hash(sys.executable, seed="1") == _hash(sys.executable, seed="2")


@pytest.mark.needs("package", "python3.10")
def test_the_deployed_python_writes_the_same_bytes() -> None:
    python = needs.find("python3.10")
    assert python is not None
    assert _hash(python, seed="3", PYTHONPATH=str(needs.PACKAGES["package"] / "package")) == _hash(
        sys.executable, seed="3"
    )


def _hash(python: str, seed: str, **more: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, **more}
    done = subprocess.run(
        [python, "-c", HASH_ALL, str(ROOT)], capture_output=True, check=True, text=True, env=environment, timeout=300
    )
    assert len(done.stdout.strip()) == hashlib.sha256().digest_size * 2
    return done.stdout


def test_nothing_of_one_job_is_in_the_files_of_the_next() -> None:
    marks = ("码头", "轮渡", "示例", "ep-0042", JOBS["rich"].job_id)
    rich = artifacts_of("rich")
    for name in ("documented", "meta"):
        job = JOBS[name]
        alone = [artifact.body for artifact in artifacts_of(job.name)]
        artifacts_of("rich")
        again = artifacts_of(job.name)
        assert [artifact.body for artifact in again] == alone
    assert all(mark in b"".join(artifact.body for artifact in rich).decode() for mark in marks)
    documented = b"".join(a.body for a in artifacts_of("documented")).decode()
    assert not [mark for mark in marks if mark in documented]


def test_the_core_spells_the_status_of_a_job_as_the_catalogue_does() -> None:
    assert set(get_args(Status)) == {status.value for status in JobStatus}


def test_artifacts() -> None:
    files = {artifact.name: artifact for artifact in artifacts_of("rich")}
    assert set(files) == {
        "summary.json",
        "report.html",
        "subtitles.vtt",
        "subtitles.srt",
        "transcript.txt",
        "timeline.ndjson",
    }
    assert set(files) <= set(ARTIFACTS)
    assert files["summary.json"].body == summarise(JOBS["rich"].response, JOBS["rich"].job_id).to_json()
    assert all(name in files["report.html"].body.decode() for name in files if name != "report.html")
    assert {a.name for a in artifacts_of("documented")} == {
        "summary.json",
        "report.html",
        "timeline.ndjson",
    }


def test_occurrences_are_what_the_vendor_said_before_ranges_are_united() -> None:
    analysis = analyse(JOBS["rich"].response)
    engineer = next(person for person in analysis.summary.persons if person.name == "示例工程师")
    said: list[Range] = [(o.fromMs, o.toMs) for o in analysis.occurrences if o.name == "示例工程师"]
    assert said == [(21400, 26720), (24000, 28000)]
    assert engineer.appearances == ((21400, 28000),)
    assert (engineer.seenMs, engineer.sumMs, engineer.appearanceCount) == (6600, 9320, 2)


def test_the_documentation_explains_every_field_and_every_warning() -> None:
    page = (ROOT / "docs" / "summary.md").read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared" / "smarttag").rglob("*.py"))
    codes = set(re.findall(r'(?:checked|self)\.warn\(\s*"([a-z-]+)"', source)) | {"more"}
    fields = {name for part in (SCHEMA, *SCHEMA["$defs"].values()) for name in part.get("properties", ())}
    assert len(codes) > 20
    assert len(fields) > 60
    spelled = set(re.findall(r'[`"]([A-Za-z0-9-]+)(?:\[\])?[`"]', page)) | set(
        re.findall(r"\w+", "".join(re.findall("## .*", page)))
    )
    assert codes | fields <= spelled
