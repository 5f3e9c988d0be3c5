"""Captions before judges that are not ours: webvtt-parser reads every file, Chromium shows every cue."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_httpserver import HTTPServer

from shared.smarttag.captions.captions import vtt
from shared.smarttag.model import Segment
from tests import browser, needs
from tests.smarttag.speech import generated, visible

if TYPE_CHECKING:
    from playwright.sync_api import Browser

JUDGE = Path(__file__).parents[1] / "node" / "judge_vtt.js"
TRANSCRIPTS = [generated(seed) for seed in range(1000)]

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
    """Check every cue against its source: where it starts and ends, and what it says.

    The segments of a transcript follow each other, so a cue belongs to the segment in which it starts.
    """
    numbers = [int(cue["id"]) for cue in cues]
    assert sorted(numbers) == list(range(1, len(cues) + 1))
    read = [segment for segment in spoken if visible(segment.text)]
    found = defaultdict(list)
    for cue in sorted(cues, key=lambda cue: int(cue["id"])):
        home = [segment for segment in read if segment.fromMs <= cue["startMs"] < segment.toMs]
        assert len(home) == 1
        found[home[0]].append(cue)
    assert list(found) == read
    for segment, own in found.items():
        times = [(cue["startMs"], cue["endMs"]) for cue in own]
        assert times[0][0] == segment.fromMs
        assert times[-1][1] == segment.toMs
        assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
        assert visible("".join(cue["text"] for cue in own)) == visible(segment.text)


@pytest.mark.needs("node")
def test_webvtt_parser_accepts_a_thousand_transcripts_and_reads_their_times() -> None:
    verdicts = judged([vtt(spoken).decode() for spoken in TRANSCRIPTS])
    assert [verdict["errors"] for verdict in verdicts] == [[]] * 1000
    for verdict, spoken in zip(verdicts, TRANSCRIPTS, strict=True):
        assert_shows(verdict["cues"], spoken)
    cues = sum(len(verdict["cues"]) for verdict in verdicts)
    assert cues > sum(len(spoken) for spoken in TRANSCRIPTS), "too few long texts were generated to judge the cuts"


@pytest.mark.needs("node")
def test_webvtt_parser_accepts_overlaps_reversed_ends_and_no_speech() -> None:
    odd = (Segment(500, 400, "b"), Segment(0, 9000, "a"), Segment(500, 700, "c"), Segment(700, 700, "d"))
    empty, full = judged([vtt(()).decode(), vtt(odd).decode()])
    assert empty == {"errors": [], "cues": []}
    assert full["errors"] == []
    cues = sorted(full["cues"], key=lambda cue: int(cue["id"]))
    assert [(cue["startMs"], cue["endMs"], cue["text"]) for cue in cues] == [
        (0, 9000, "a"),
        (500, 700, "b"),
        (500, 700, "c"),
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
