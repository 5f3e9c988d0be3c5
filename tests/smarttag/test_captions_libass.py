"""What a player shows of hostile texts: libass, through ffmpeg, draws every sign of them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
import srt

from shared.smarttag.captions import captions
from shared.smarttag.model import Segment
from tests import needs

WIDTH, HEIGHT = 320, 180
SECONDS = 12  # of each text, so that each of its cues has a frame
TEXTS = (
    # tags
    "<b>bold</b>", "</i>closing only", "<font color=red>red</font>", "a < b > c", "<<<>>>", "<!-- comment -->",
    "< b >spaced< / b >",
    # overrides
    "{\\an8}top", "{\\b1}bold{\\b0}", "{unclosed", "}", "{y:i}italic", "{123}{456}frames", "{\\pos(0,0)}",
    "{\\alpha&HFF&}unseen", "{{}}",
    # escapes
    "one\\Ntwo", "one\\ntwo", "one\\htwo", "\\", "C:\\new\\home", "ends with \\", "\\{\\an8\\}", "\\N\\N\\N", "\\\n\\",
    # what structures the file
    "a --> b", "a ----> b", "00:00:01,000 --> 00:00:02,000", "00:00:01.000 00:00:02.000",
    "1\n00:00:01,000 --> 00:00:02,000\nand a third line of text", "42", "first\n42", "42\nsecond", "1\n\n2\n\n3",
    # what other formats obey
    "&lt;b&gt;", "&amp;&nbsp;&#60;", "Q&A", "[Script Info]", "Dialogue: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,x",
    "WEBVTT", "NOTE x", "STYLE", "| pipe | and ♪ music ♪",
    # unseen, and too long
    "\ufeffmark", "\u202ereversed\u202c", "https://example.com/a/very/long/path/without/any/space?q=1&r=2", "x" * 70,
    "！" * 40, "今天上午十点，国务院新闻办公室举行新闻发布会，介绍了有关情况。",
    "회의에서 담당자에게 문의하라는 안내가 있었고 다음 주까지",
)  # fmt: skip

pytestmark = pytest.mark.needs("ffmpeg")


def test_there_are_fifty() -> None:
    assert len(set(TEXTS)) == 50


def run(*arguments: str, folder: Path) -> bytes:
    """Run ffmpeg in a folder, so that no path needs the filter's own escapes."""
    ffmpeg = needs.find("ffmpeg")
    assert ffmpeg is not None
    options = ("-nostdin", "-loglevel", "error", "-threads", "1")
    return subprocess.run(
        [ffmpeg, *options, *arguments], cwd=folder, capture_output=True, check=True, timeout=300
    ).stdout


def frames(folder: Path, name: str, count: int) -> list[bytes]:
    """Return what is seen of a subtitle file in each second, as grey pixels on black."""
    picture = f"color=black:s={WIDTH}x{HEIGHT}:r=1:d={count}"
    shown = ("-vf", f"subtitles={name}", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    pixels = run("-f", "lavfi", "-i", picture, *shown, folder=folder)
    size = WIDTH * HEIGHT
    return [pixels[at : at + size] for at in range(0, len(pixels), size)]


def literal(folder: Path, events: Iterable[tuple[int, int, str]]) -> None:
    """Write texts as ``literal.ass`` in SubRip's style; there only ``{`` and a backslash are no text."""
    header = run("-i", "cues.srt", "-f", "ass", "-", folder=folder).decode().partition("Dialogue:")[0]
    lines = []
    for start, end, text in events:
        assert "{" not in text
        assert "\\" not in text
        clocks = (f"{ms // 3_600_000}:{ms // 60_000 % 60:02}:{ms % 60_000 / 1000:05.2f}" for ms in (start, end))
        lines.append(f"Dialogue: 0,{','.join(clocks)},Default,,0,0,0,,{text.replace(chr(10), chr(92) + 'N')}\n")
    (folder / "literal.ass").write_text(header + "".join(lines))


def milliseconds(time: timedelta) -> int:
    return round(time / timedelta(milliseconds=1))


@pytest.fixture(scope="module")
def cues(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int, str]]]:
    folder = tmp_path_factory.mktemp("libass")
    spoken = [Segment(at * SECONDS * 1000, (at + 1) * SECONDS * 1000, text) for at, text in enumerate(TEXTS)]
    body = captions.srt(spoken)
    (folder / "cues.srt").write_bytes(body)
    read = srt.parse(body.decode())
    return folder, [(milliseconds(cue.start), milliseconds(cue.end), cue.content) for cue in read]


def test_libass_draws_what_the_file_says_and_nothing_else(cues: tuple[Path, list[tuple[int, int, str]]]) -> None:
    folder, shown = cues
    literal(folder, shown)
    count = len(TEXTS) * SECONDS
    ours, plain = frames(folder, "cues.srt", count), frames(folder, "literal.ass", count)
    for start, end, text in shown:
        at = (start + end) // 2000
        assert start < at * 1000 < end, text
        assert any(ours[at]), text
        assert hashlib.sha256(ours[at]).digest() == hashlib.sha256(plain[at]).digest(), text
        edges = ours[at][0::WIDTH] + ours[at][WIDTH - 1 :: WIDTH] + ours[at][:WIDTH] + ours[at][-WIDTH:]
        assert not any(edges), f"runs out of the picture: {text}"


def test_every_sign_is_drawn(cues: tuple[Path, list[tuple[int, int, str]]]) -> None:
    """A picture without a sign is another picture, for each sign of each text."""
    folder, shown = cues
    texts = [text for _, _, text in shown]
    variants = [(text, text[:at] + text[at + 1 :]) for text in texts for at in range(len(text)) if text[at].strip()]
    several = [*texts, *(without for _, without in variants)]
    literal(folder, ((at * 1000, at * 1000 + 1000, text) for at, text in enumerate(several)))
    pictures = frames(folder, "literal.ass", len(several))
    whole = dict(zip(texts, pictures, strict=False))
    for (text, without), picture in zip(variants, pictures[len(texts) :], strict=True):
        assert picture != whole[text], f"{text!r} looks like {without!r}"


def test_what_the_judge_would_show_without_look_alikes(tmp_path: Path) -> None:
    raw = ("<b>bold</b>", "{\\an8}top", "{\\alpha&HFF&}unseen", "one\\Ntwo")
    seen = ("bold", "top", "unseen", "one\ntwo")
    block = "{number}\n00:00:0{number},000 --> 00:00:0{number},999\n{text}\n\n"
    (tmp_path / "cues.srt").write_text("".join(block.format(number=at, text=text) for at, text in enumerate(raw)))
    literal(tmp_path, ((at * 1000, at * 1000 + 990, text) for at, text in enumerate(seen)))
    obeyed, plain = frames(tmp_path, "cues.srt", 4), frames(tmp_path, "literal.ass", 4)
    assert obeyed[0] != plain[0], "bold"
    assert obeyed[1] != plain[1], "at the top"
    assert obeyed[2] == plain[2], "swallowed"
    assert obeyed[3] == plain[3], "on two lines"
