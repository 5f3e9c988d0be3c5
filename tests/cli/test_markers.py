"""``smarttag markers``: what OpenTimelineIO reads back from the files is who and what was seen, when and by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import opentimelineio as otio
import pytest

from local.cli import markers
from local.cli.markers import RATES, Format
from local.recorded import jobs
from shared.errors import BadInput
from shared.smarttag import Summary, summarise

# the adapter that reads FCPXML back asks an element for its truth, which Python 3.12 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Testing an element:DeprecationWarning")

JOBS = jobs()
COMMAND = [sys.executable, "-c", "from local.cli.main import main; main()", "markers"]
ADAPTERS = {Format.FCPXML: "fcpx_xml", Format.FCP7: "fcp_xml", Format.EDL: "cmx_3600"}


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, check=False, timeout=60, text=True, encoding="utf-8", env={**os.environ, **env}
    )


def read(body: bytes, kind: Format, fps: str) -> list[tuple[float, str]]:
    """Return (milliseconds, name) of every marker that OpenTimelineIO finds."""
    rate = RATES[fps]
    text = body.decode()
    if kind is Format.EDL and rate.drop_frame:  # its reader knows no semicolon; its clock does
        found = re.findall(r"^\* LOC: (\S+) \w+ +(.*)$", text, re.MULTILINE)
        return [
            (otio.opentime.from_timecode(time, float(rate.exact)).to_seconds() * 1000, name) for time, name in found
        ]
    options = {"rate": rate.counted} if kind is Format.EDL else {}
    timeline = otio.adapters.read_from_string(text, ADAPTERS[kind], **options)
    if not isinstance(timeline, otio.schema.Timeline):
        timeline = next(part for part in timeline if isinstance(part, otio.schema.Timeline))
    found = [marker for clip in timeline.find_clips() for marker in clip.markers]
    if kind is Format.FCPXML and rate.exact.denominator > 1:  # its reader cuts 29.97 to 29 frames a second
        times = [Fraction(each.attrib["start"].removesuffix("s")) for each in ET.fromstring(text).iter("marker")]  # noqa: S314 - our own
        return [(float(time * 1000), marker.name) for time, marker in zip(times, found, strict=True)]
    return [(marker.marked_range.start_time.value * 1000 / float(rate.exact), marker.name) for marker in found]


def expected(summary: Summary) -> list[tuple[int, str]]:
    seen = [(span[0], who.name) for who in (*summary.persons, *summary.tags) for span in who.appearances]
    seen += [(span[0], what.label) for what in summary.concepts for span in what.appearances]
    seen += [(chapter.startMs, chapter.headline) for chapter in summary.chapters]
    return sorted(seen)


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize("fps", RATES if os.environ.get("SOAK") else ["23.976", "25", "29.97df", "50"])
@pytest.mark.parametrize("job", ["documented", "rich"])
def test_every_marker_is_read_back_within_half_a_frame(job: str, fps: str, kind: Format) -> None:
    summary = summarise(JOBS[job].response, job)
    found = sorted(read(markers.write(summary, RATES[fps], kind, "a.mp4"), kind, fps))
    wanted = expected(summary)
    assert len(found) == len(wanted) >= 18
    half_a_frame = 500 / float(RATES[fps].exact)
    for at, name in wanted:
        name_there = name.upper() if kind is Format.EDL else name  # its writer has capitals only
        near = [time for time, there in found if there == name_there and abs(time - at) <= half_a_frame + 1e-6]
        assert near or not name, (at, name)
    assert {name for _, name in found} >= {name.upper() if kind is Format.EDL else name for _, name in wanted if name}


@pytest.mark.parametrize("fps", ["25", "29.97df", "29.97", "50"])
def test_fcpxml_is_in_whole_frames_and_says_which(fps: str) -> None:
    root = ET.fromstring(markers.write(summarise(JOBS["rich"].response, "rich"), RATES[fps], Format.FCPXML, "a.mp4"))  # noqa: S314 - our own
    assert {each.get("frameDuration") for each in root.iter("format")} == {RATES[fps].frame_duration}
    sequence = root.find(".//sequence")
    assert sequence is not None
    assert sequence.get("tcFormat") == ("DF" if fps.endswith("df") else "NDF")
    for marker in root.iter("marker"):
        for time in (marker.attrib["start"], marker.attrib["duration"]):
            top, _, bottom = time.removesuffix("s").partition("/")
            assert (int(top) * RATES[fps].exact / int(bottom or 1)).denominator == 1


def test_an_edl_says_whether_frames_are_dropped() -> None:
    summary = summarise(JOBS["documented"].response, "documented")
    dropped, counted = (
        markers.write(summary, RATES[fps], Format.EDL, "a.mp4").decode().splitlines()[1] for fps in ("29.97df", "29.97")
    )
    assert (dropped, counted) == ("FCM: DROP FRAME", "FCM: NON-DROP FRAME")


@pytest.mark.parametrize("kind", Format)
def test_names_that_no_format_can_hold_are_made_harmless(kind: Format) -> None:
    hostile = "a\n* LOC: 00:00:00:00 RED  forged]]><marker>\x00\x0b&"
    data = {"persons": [{"name": hostile, "occurrences": [{"from": 1, "to": 2}]}]}
    response = {"JobStatus": "Success", "Results": {"Result": [{"Type": "VideoLabel", "Data": json.dumps(data)}]}}
    summary = summarise(json.dumps(response).encode(), "job")
    assert len(summary.persons) == 1
    ((time, name),) = read(markers.write(summary, RATES["25"], kind, "a.mp4"), kind, "25")
    assert time == 1000
    assert name.lower().startswith("a * loc: 00:00:00:00 red forged]]><marker>")


def test_no_marker_is_without_a_name() -> None:
    times = {"occurrences": [{"from": 1, "to": 2}]}
    results = {
        "VideoLabel": {
            "persons": [{"name": " ", **times}],
            "tags": [{"mainTagName": name, **times} for name in ("场景", "")],
        },
        "CPVLabel": {"cates": [{"label": "", "detailInfo": [{"startTime": 1, "endTime": 2}]}]},
        "NLP": {"autoChapters": [{"start": 0, "end": 9, "headline": "开场"}, {"start": 9, "end": 12}]},
    }
    response = {"JobStatus": "Success", "Results": [{"Type": name, "Data": data} for name, data in results.items()]}
    found = markers.marks(summarise(json.dumps(response).encode(), "job"))
    assert {mark.name for mark in found} == {"face", "场景", "tag", "cate", "开场", "chapter 2"}


def test_a_job_without_times_says_so() -> None:
    with pytest.raises(BadInput, match="no markers to make"):
        markers.write(summarise(JOBS["fail"].response, "fail"), RATES["25"], Format.EDL, "a.mp4")


def test_a_file_gets_its_markers_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "job-1" / "response.json"
    path.parent.mkdir()
    path.write_bytes(JOBS["documented"].response)
    done = run(path, "--fps", "29.97df")
    assert (done.returncode, done.stderr) == (0, "")
    written = sorted((path.parent / "markers").iterdir())
    assert [each.name for each in written] == ["job-1.edl", "job-1.fcpxml", "job-1.xml"]
    assert done.stdout.count(": 19 markers\n") == 3
    bodies = [each.read_bytes() for each in written]
    assert run(path, "--fps", "29.97df").returncode == 0
    assert [each.read_bytes() for each in written] == bodies
    assert run(path, "--fps", "25", "--format", "edl", "-o", tmp_path / "out").returncode == 0
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["job-1.edl"]


def test_a_published_job_gets_them_into_its_store(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "job-2"
    folder.mkdir(parents=True)
    (folder / "response.json").write_bytes(JOBS["rich"].response)
    done = run("job-2", "--fps", "25", OUTPUT_URL=tmp_path.as_uri(), MPS_REGION="cn-shanghai")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "jobs/job-2/markers/job-2.fcpxml: 24 markers"
    assert "示例主持人" in (folder / "markers" / "job-2.fcpxml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("nowhere", "--fps", "26"), 2, "26 is none of"),
        (("no/such/file.json", "--fps", "25"), 1, "no/such/file.json is no file, and no job ID"),
        ((__file__, "--fps", "25"), 1, f"{__file__}: the file holds something that is not JSON"),
        (("job-3", "--fps", "25"), 1, "jobs/job-3/response.json"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, arguments: tuple[str, ...], status: int, says: str) -> None:
    done = run(*arguments, OUTPUT_URL=tmp_path.as_uri(), MPS_REGION="cn-shanghai", COLUMNS="200")
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_file_is_not_told_as_a_missing_setting() -> None:
    assert "typo.json is no file" in run("typo.json", "--fps", "25", OUTPUT_URL="").stderr


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "job.json"
    source.write_bytes(jobs()["rich"].response)
    done = run(source, "--fps", "25", "-o", source)
    assert (done.returncode, done.stderr) == (1, f"smarttag: {source}: File exists\n")
