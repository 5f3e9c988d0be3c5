"""Captions before judges that are not ours: webvtt-parser, vtt.js, srt, pysrt, pysubs2 read, Chromium shows them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pysrt
import pysubs2
import pytest
import srt
from pytest_httpserver import HTTPServer

from shared.smarttag.captions.captions import srt as subrip
from shared.smarttag.captions.captions import vtt
from shared.smarttag.model import Segment
from tests import browser, needs
from tests.smarttag.speech import generated, visible

if TYPE_CHECKING:
    from playwright.sync_api import Browser

JUDGE = Path(__file__).parents[1] / "node" / "judge_vtt.js"
TRANSCRIPTS = [generated(seed) for seed in range(2000 if os.environ.get("SOAK") else 100)]
HOUR_MS = 3_600_000

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>captions</title><video></video>
<script>
async function shown(count) {
  const video = document.querySelector("video");
  const load = (number) => new Promise((done, fail) => {
    const track = document.createElement("track");
    track.src = `/${number}.vtt`;
    track.onload = () => done(Array.from(track.track.cues, (cue) => ({
      id: cue.id, startMs: Math.round(cue.startTime * 1000), endMs: Math.round(cue.endTime * 1000),
      text: cue.getCueAsHTML().textContent,
    })));
    track.onerror = () => fail(new Error(`track ${number} was refused`));
    video.append(track);
    track.track.mode = "hidden";
  });
  return Promise.all(Array.from({length: count}, (_, number) => load(number)));
}
</script>"""


def judged(bodies: list[str]) -> list[dict[str, Any]]:
    """Ask webvtt-parser about all files, in one process."""
    node = needs.find("node")
    assert node is not None
    asked = json.dumps(bodies).encode()
    run = subprocess.run([node, JUDGE], input=asked, capture_output=True, check=True, timeout=120)
    answer: list[dict[str, Any]] = json.loads(run.stdout)
    return answer


def assert_shows(cues: list[dict[str, Any]], spoken: tuple[Segment, ...]) -> None:
    """Check what a judge read against its source: everything that was said, in order, in cues that can be seen."""
    assert [int(cue["id"]) for cue in cues] == list(range(1, len(cues) + 1))
    assert visible("".join(cue["text"] for cue in cues)) == "".join(visible(segment.text) for segment in spoken)
    assert all(cue["endMs"] - cue["startMs"] >= 200 for cue in cues)
    assert all(before["endMs"] <= after["startMs"] for before, after in pairwise(cues))
    starts = [segment.fromMs for segment in spoken if visible(segment.text)]
    assert [cue["startMs"] for cue in cues[:1]] == starts[:1]


def ms(time: timedelta) -> int:
    return round(time / timedelta(milliseconds=1))


def as_subrip(text: str) -> str:
    """Return a text with the look-alikes that docs/captions.md names in place of what SubRip players obey."""
    for pattern, look_alike in ((r"-+->", "→"), ("<", "＜"), (r"\{", "｛"), (r"\\", "＼"), (r"&(?=#?\w+;)", "＆")):
        text = re.sub(pattern, look_alike, text)
    return re.sub(r"\d+:\d+:\d+(?=[.,]\d)", lambda time: time[0].replace(":", "∶"), text)


@pytest.mark.needs("node")
def test_all_judges_read_the_same_texts_and_times() -> None:
    verdicts = judged([vtt(spoken).decode() for spoken in TRANSCRIPTS])
    assert [verdict["errors"] for verdict in verdicts] == [[]] * len(TRANSCRIPTS)
    for verdict, spoken in zip(verdicts, TRANSCRIPTS, strict=True):
        assert verdict["vttJs"] == verdict["cues"]
        body = subrip(spoken).decode()
        expected = [(cue["startMs"], cue["endMs"], as_subrip(cue["text"])) for cue in verdict["cues"]]
        assert [(ms(cue.start), ms(cue.end), cue.content) for cue in srt.parse(body)] == expected
        assert [(cue.start.ordinal, cue.end.ordinal, cue.text) for cue in pysrt.from_string(body)] == expected
        if spoken[-1].toMs < 99 * HOUR_MS:  # pysubs2 reads two digits of hours
            read = pysubs2.SSAFile.from_string(body, format_="srt")
            assert [(cue.start, cue.end, cue.plaintext) for cue in read] == expected
    for verdict, spoken in zip(verdicts, TRANSCRIPTS, strict=True):
        assert_shows(verdict["cues"], spoken)
    cues = sum(len(verdict["cues"]) for verdict in verdicts)
    assert cues > sum(len(spoken) for spoken in TRANSCRIPTS), "too few long texts were generated to judge the cuts"


@pytest.mark.needs("node")
def test_webvtt_parser_accepts_overlaps_reversed_ends_and_no_speech() -> None:
    odd = (Segment(500, 400, "b"), Segment(0, 9000, "a"), Segment(500, 700, "c"), Segment(700, 700, "d"))
    empty, full = judged([vtt(()).decode(), vtt(odd).decode()])
    assert empty == {"errors": [], "cues": [], "vttJs": []}
    assert full["errors"] == []
    cues = sorted(full["cues"], key=lambda cue: int(cue["id"]))
    assert [(cue["startMs"], cue["endMs"], cue["text"]) for cue in cues] == [
        (0, 9000, "a"),
        (500, 700, "b c"),
        (700, 1700, "d"),
    ]


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    "cue",
    [
        "00:00:00.000 --> 00:00:01.1000\nx",
        "00:00:60.000 --> 00:01:01.000\nx",
        "00:00:02.000 --> 00:00:01.000\nx",
        "00:00:01,000 --> 00:00:02,000\nx",
        "00:00:01.000 --> 00:00:02.000\na --> b",
        "00:00:01.000 --> 00:00:02.000\n<x>a",
        "00:00:01.000 --> 00:00:02.000\na\n\nb",
        "00:00:01.000 --> 00:00:02.000\nQ&A",
    ],
    ids=["four digits", "sixty seconds", "reversed", "comma", "arrow", "tag", "blank line", "ampersand"],
)
def test_the_judge_refuses_what_known_tools_write(cue: str) -> None:
    assert judged([f"WEBVTT\n\n{cue}\n"])[0]["errors"]


@pytest.mark.needs("chromium")
def test_chromium_shows_the_same_cues(chromium: Browser, httpserver: HTTPServer) -> None:
    spoken = TRANSCRIPTS[:40]
    httpserver.expect_request("/").respond_with_data(PAGE, content_type="text/html; charset=utf-8")
    for number, one in enumerate(spoken):
        httpserver.expect_request(f"/{number}.vtt").respond_with_data(vtt(one), content_type="text/vtt; charset=utf-8")
    with browser.watched(chromium, offline=False) as seen:
        seen.page.goto(httpserver.url_for("/"))
        shown = seen.page.evaluate(f"shown({len(spoken)})")
    for cues, one in zip(shown, spoken, strict=True):
        assert_shows(cues, one)
    assert sum(map(len, shown)) > 200
    assert (seen.console, seen.errors) == ([], [])
