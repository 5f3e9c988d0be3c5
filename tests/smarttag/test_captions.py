"""Captions and transcript: every trap that known tools fall into, and what must hold for any text at any time."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.smarttag.captions import signs
from shared.smarttag.captions.captions import srt, transcript, vtt
from shared.smarttag.captions.line_breaks import COLUMNS, wrap
from shared.smarttag.captions.signs import display_width
from shared.smarttag.model import Segment
from tests import needs
from tests.smarttag.speech import sequences, texts, visible

_TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})"
_BLOCK = re.compile(rf"(\d+)\n{_TIME} --> {_TIME}\n((?:.+\n)+)")
segments = st.lists(st.builds(Segment, st.integers(), st.integers(), texts), max_size=8).map(tuple)


@dataclass(frozen=True)
class Cue:
    number: int
    start: int
    end: int
    lines: tuple[str, ...]


def parse(body: bytes) -> list[Cue]:
    """Read SubRip, or WebVTT after its first line, by the letter: nothing may stand between the blocks."""
    text = body.decode().removeprefix("WEBVTT\n\n").removeprefix("WEBVTT\n")
    cues = []
    for block in text.split("\n\n") if text else []:
        match = _BLOCK.fullmatch(block.rstrip("\n") + "\n")
        assert match is not None, block
        numbers = [int(group) for group in match.groups()[:9]]
        start, end = (
            ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
            for hours, minutes, seconds, ms in (numbers[1:5], numbers[5:9])
        )
        cues.append(Cue(numbers[0], start, end, tuple(match.group(10).splitlines())))
    return cues


def times(body: bytes) -> list[tuple[int, int]]:
    return [(cue.start, cue.end) for cue in parse(body)]


def shown(body: bytes) -> list[str]:
    """Return the text of each WebVTT cue as a player shows it."""
    joined = ("\n".join(cue.lines) for cue in parse(body))
    return [text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for text in joined]


def say(text: str) -> tuple[Segment, ...]:
    return (Segment(1000, 2000, text),)


def test_the_two_formats_to_the_byte() -> None:
    spoken = (Segment(2440, 5320, "各位观众，晚上好。"), Segment(5320, 6000, "Good evening."))
    assert vtt(spoken).decode() == (
        "WEBVTT\n\n1\n00:00:02.440 --> 00:00:05.320\n各位观众，晚上好。\n\n"
        "2\n00:00:05.320 --> 00:00:06.000\nGood evening.\n"
    )
    assert srt(spoken).decode() == (
        "1\n00:00:02,440 --> 00:00:05,320\n各位观众，晚上好。\n\n2\n00:00:05,320 --> 00:00:06,000\nGood evening.\n"
    )
    assert transcript(spoken).decode() == "[00:00:02] 各位观众，晚上好。\n[00:00:05] Good evening.\n"


def test_no_speech_gives_valid_empty_files() -> None:
    assert (vtt(()), srt(()), transcript(())) == (b"WEBVTT\n", b"", b"")


def test_no_time_comes_out_a_millisecond_low() -> None:
    every = range(0, 60_060_000, 1001)  # each millisecond of a minute once, over 16 hours
    spoken = tuple(Segment(at, at + 999, "x") for at in every)
    expected = [(at, at + 999) for at in every]
    assert times(vtt(spoken)) == expected
    assert times(srt(spoken)) == expected


@pytest.mark.parametrize(
    ("ms", "clock"),
    [
        (0, "00:00:00.000"),
        (999, "00:00:00.999"),
        (59_999, "00:00:59.999"),
        (60_000, "00:01:00.000"),
        (3_600_000, "01:00:00.000"),
        (360_000_000, "100:00:00.000"),
        (3_600_000_000, "1000:00:00.000"),
    ],
)
def test_clock_carries_over_and_passes_99_hours(ms: int, clock: str) -> None:
    assert f"\n{clock} --> " in vtt((Segment(ms, ms + 1, "x"),)).decode()
    assert f"\n{clock.replace('.', ',')} --> " in srt((Segment(ms, ms + 1, "x"),)).decode()


def test_nothing_of_one_job_is_in_the_next() -> None:
    assert b"secret" in vtt(say("secret of job A"))
    for make in (vtt, srt, transcript):
        alone = make(say("job B"))
        make(say("secret of job A"))
        assert make(say("job B")) == alone
        assert b"secret" not in alone


@pytest.mark.parametrize(
    "text", ["a & b", "&amp;lt;", "<v Bob>x</v>", "<00:00:01.500>", "A-->B", "1 > 0", "&nbsp;", "&"]
)
def test_vtt_shows_markup_as_text(text: str) -> None:
    body = vtt(say(text))
    assert shown(body) == [text]
    assert body.count(b"-->") == 1
    assert b"<" not in body


def test_srt_has_no_escape_so_look_alikes_stand_in() -> None:
    cue = parse(srt(say("A-->B <i>x</i> {\\an8}y & z")))[0]
    assert cue.lines == ("A→B ＜i>x＜/i> ｛＼an8}y & z",)
    cue = parse(srt(say("a--->b \\N \\h &lt;b&#62; Q&A")))[0]
    assert cue.lines == ("a→b ＼N ＼h ＆lt;b＆#62; Q&A",)
    cue = parse(srt(say("00:00:01,000\n1:02:03.5 x 9:30")))[0]
    assert cue.lines == ("00∶00∶01,000", "1∶02∶03.5 x 9:30")


def test_a_line_of_nothing_but_digits_is_not_taken_for_a_number_of_a_cue() -> None:
    assert parse(srt(say("in the year\n2027\n\n４２\nit was 7")))[0].lines == ("in the year 2027 ４２", "it was 7")
    assert parse(srt(say("x" * 31 + " 42")))[0].lines[-1] != "42"


def test_line_ends_and_blank_lines_become_one_line_end() -> None:
    assert shown(vtt(say("\r\none\r\n\r\n \t\r\ntwo\n"))) == ["one\ntwo"]
    for end in "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        assert shown(vtt(say(f"one{end}\u200d{end}two"))) == ["one\ntwo"]
    assert transcript(say("one\r\n\r\ntwo")) == b"[00:00:01] one two\n"


def test_controls_marks_of_direction_and_half_characters_go() -> None:
    assert shown(vtt(say("\ufeffa\x00b\x1b[31mc\x7f\u202ed\u2066e\u200f\u061c\x9f\u200b\xad"))) == ["ab[31mcde"]
    assert transcript(say("a\u200bb \u200b c")) == b"[00:00:01] ab c\n"
    assert shown(vtt(say("x\ud800y"))) == ["x\ufffdy"]


@pytest.mark.parametrize("text", ["", " ", "\n", "\u3000", "\x00\x01", "\u200d", "\u0301", "\ufeff\u202e"])
def test_a_cue_without_anything_to_read_is_dropped(text: str) -> None:
    spoken = (Segment(0, 1, text), Segment(1, 2, "x"))
    assert [(cue.number, cue.start) for cue in parse(vtt(spoken))] == [(1, 1)]
    assert len(parse(srt(spoken))) == 1
    assert transcript(spoken) == b"[00:00:00] x\n"


@pytest.mark.parametrize("text", ["\u1161", "\U0001f3fd", "\u0903", "…", "\U0001e000" * 40])
def test_a_cue_with_hardly_anything_to_read_is_kept(text: str) -> None:
    assert "".join(shown(vtt(say(text)))).replace("\n", "") == text


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        ([(5000, 5000)], [(5000, 6000)]),
        ([(5000, 4000)], [(5000, 6000)]),
        ([(5000, 5000), (5400, 6000)], [(5000, 5400), (5400, 6000)]),
        ([(5000, 5001)], [(5000, 6000)]),
        ([(5000, 5199), (5900, 7000)], [(5000, 5900), (5900, 7000)]),
        ([(5000, 5200), (5900, 7000)], [(5000, 5200), (5900, 7000)]),
        ([(5000, 5000), (5200, 6000)], [(5000, 5200), (5200, 6000)]),
        ([(5000, 5000), (5199, 6000)], [(5000, 6000)]),
        ([(5000, 5000), (5010, 5010), (5020, 5020)], [(5000, 6000)]),
        ([(5000, 5040), (5040, 5300), (5300, 5400)], [(5000, 5300), (5300, 6300)]),
        ([(5000, 5000), (5000, 6000), (5001, 6000)], [(5000, 6000), (5001, 6000)]),
        ([(5000, 9000), (6000, 6000), (8000, 8100)], [(5000, 9000), (6000, 7000), (8000, 9000)]),
        ([(-500, 800)], [(0, 800)]),
        ([(-500, -200)], [(0, 1000)]),
    ],
    ids=[
        "zero",
        "reversed",
        "up to the next",
        "a millisecond",
        "four frames",
        "five frames",
        "five frames to the next",
        "four frames to the next",
        "three at once",
        "until there is enough",
        "the same moment",
        "beside others",
        "from before the start",
        "all before the start",
    ],
)
def test_what_is_too_short_to_be_seen_is_shown_longer_or_with_the_next(
    spoken: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    body = vtt(tuple(Segment(*span, "x") for span in spoken))
    assert times(body) == expected
    assert "".join(shown(body)).replace(" ", "") == "x" * len(spoken)


def test_speech_of_one_moment_is_shown_together_the_shorter_first() -> None:
    cues = parse(
        srt((Segment(0, 4000, "先生们，女士们，晚上好，欢迎收看"), Segment(0, 900, "好"), Segment(1, 900, "x")))
    )
    assert [(cue.start, cue.end, cue.lines) for cue in cues] == [
        (0, 4000, ("好 先生们，女士们，", "晚上好，欢迎收看")),
        (1, 900, ("x",)),
    ]


def test_cues_are_ordered_and_numbered_from_one_and_may_touch_or_overlap() -> None:
    spoken = (Segment(3000, 4000, "c"), Segment(0, 2000, "a"), Segment(2000, 3000, "b"), Segment(2500, 9000, "d"))
    cues = parse(vtt(spoken))
    assert [(cue.number, cue.start, cue.end, cue.lines[0]) for cue in cues] == [
        (1, 0, 2000, "a"),
        (2, 2000, 3000, "b"),
        (3, 2500, 9000, "d"),
        (4, 3000, 4000, "c"),
    ]


def test_a_long_text_is_shared_out_by_width_between_the_times_of_its_segment() -> None:
    text = "今天上午十点国务院新闻办公室举行新闻发布会介绍了有关情况并回答了记者的几个提问谢谢大家收看"
    cues = parse(vtt((Segment(10_000, 20_000, text),)))
    assert [cue.lines for cue in cues] == [
        ("今天上午十点国务院新闻办公室举行", "新闻发布会介绍了有关情况并回答了"),
        ("记者的几个提问谢谢大家收看",),
    ]
    # Of ten seconds each cue has 0.2 at once, and 64 and 26 of 90 columns' share of the rest.
    assert [(cue.start, cue.end) for cue in cues] == [(10_000, 10_200 + 9_600 * 64 // 90), (17_026, 20_000)]


def test_a_text_with_too_little_time_to_share_is_shown_longer_or_with_the_next() -> None:
    text = "字" * 80
    assert [(cue.start, cue.end) for cue in parse(vtt((Segment(0, 2, text),)))] == [
        (0, 1160),
        (1160, 2320),
        (2320, 3000),
    ]
    cues = parse(vtt((Segment(0, 2, text), Segment(500, 4000, "你好"))))
    assert (cues[0].start, cues[-1].end) == (0, 4000)
    assert [len(cue.lines) for cue in cues] == [2, 2, 2]
    assert cues[-1].lines == ("字" * 16, "你好")


@given(segments)
def test_any_text_at_any_time_gives_readable_files(spoken: tuple[Segment, ...]) -> None:
    for make in (vtt, srt):
        body = make(spoken)
        cues = parse(body)
        assert [cue.number for cue in cues] == list(range(1, len(cues) + 1))
        assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)
        assert all(0 <= cue.start <= cue.end - 200 for cue in cues)
        assert all(len(cue.lines) <= 2 for cue in cues)
        assert all(display_width(line) <= COLUMNS for cue in cues for line in cue.lines) or make is vtt
        assert body.count(b"-->") == len(cues)
        assert make(list(spoken)) == body
        assert body.endswith(b"\n") or not cues
    assert b"<" not in vtt(spoken)
    assert all(re.fullmatch(r"\[\d\d+:\d\d:\d\d\] .*\S", line) for line in transcript(spoken).decode().split("\n")[:-1])


@given(sequences())
def test_no_text_is_lost(spoken: tuple[Segment, ...]) -> None:
    whole = "".join(visible(segment.text) for segment in spoken)
    assert visible("".join(shown(vtt(spoken)))) == whole
    assert sorted({len(shown(vtt(spoken))), len(parse(srt(spoken)))}) == [len(shown(vtt(spoken)))]


@given(sequences(unhurried=True))
def test_no_time_is_lost_where_there_is_time_to_read(spoken: tuple[Segment, ...]) -> None:
    read = [segment for segment in spoken if visible(segment.text)]
    body = vtt(spoken)
    assert times(srt(spoken)) == times(body)
    starts, ends = {cue.start for cue in parse(body)}, {cue.end for cue in parse(body)}
    assert {segment.fromMs for segment in read} <= starts
    assert {segment.toMs for segment in read} <= ends
    # What lies between is the cuts inside a segment: each ends one cue and starts the next.
    assert starts - {segment.fromMs for segment in read} == ends - {segment.toMs for segment in read}


@pytest.mark.parametrize("text", ["x", "字", "！", "\u0301", "x！", "（", "\u3000x"])
def test_an_endless_text_is_wrapped_in_one_go(text: str) -> None:
    endless = "字" + text * 20_000
    cues = parse(vtt((Segment(0, 10_000_000, endless),)))
    assert visible("".join("".join(cue.lines) for cue in cues)) == visible(endless)
    assert (cues[0].start, cues[-1].end) == (0, 10_000_000)


WIDTHS = """
import hashlib, runpy, sys
module = runpy.run_path(sys.argv[1], run_name="wrapping")
every = [(module["width_of"](chr(code)), module["kind_of"](chr(code))) for code in range(0x20000)]
print(hashlib.sha256(repr(every).encode()).hexdigest())
"""


@pytest.mark.parametrize(
    "python", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("python3.10", "python3.12")]
)
def test_every_python_judges_every_character_alike(python: str) -> None:
    hashes = [
        subprocess.run([str(command), "-c", WIDTHS, signs.__file__], capture_output=True, check=True).stdout
        for command in (sys.executable, needs.find(python))
    ]
    assert hashes[0] == hashes[1]
    assert len(hashes[0].strip()) == 64


LATIN = re.compile(r"[0-9A-Za-z]+(?:[.,:/'-][0-9A-Za-z]+)*")
spoken_words = st.lists(
    st.sampled_from(
        ["新", "闻", "的", "，", "。", "“", "”", "（", "）", "《", "》", "word", "3.14", "it's", "x" * 40, " ", "a"]
    ),
    min_size=1,
    max_size=60,
).map("".join)


@given(spoken_words)
def test_lines_fit_and_tear_nothing(text: str) -> None:
    line = text.strip()
    lines = wrap(line)
    assert "".join("".join(lines).split()) == "".join(line.split())
    for run in LATIN.findall(line):
        assert any(run in one for one in lines) or len(run) > COLUMNS
    assert all(display_width(one) <= COLUMNS for one in lines)
    assert len(lines) == 1 or all(lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("一二三四五六七八九十一二三四五六", ["一二三四五六七八九十一二三四五六"]),
        ("一二三四五六七八九十一二三四五六七", ["一二三四五六七八", "九十一二三四五六七"]),
        ("一二三四五六七八九十一二三四五六，七八", ["一二三四五六七八九", "十一二三四五六，七八"]),
        ("一二三四五六七八九十一二三四五六。", ["一二三四五六七八", "九十一二三四五六。"]),
        ("一二三四五六七八（九十）", ["一二三四五六七八（九十）"]),
        ("疫苗COVID-19于2021年1月1日在example.com发布", ["疫苗COVID-19于2021年1月1日", "在example.com发布"]),
        ("前" * 3 + "x" * 40 + "，后" * 3, ["前前前" + "x" * 23, "x" * 17 + "，后，后，后"]),
        ("见“" + "x" * 40 + "”。", ["见“" + "x" * 19, "x" * 21 + "”。"]),
        ("the quick brown foxes jump over lazy dog !", ["the quick brown foxes", "jump over lazy dog !"]),
        ("他说" + "很" * 14 + "——对", ["他说" + "很" * 7, "很" * 7 + "——对"]),
        ("啊" + "！" * 20, ["啊" + "！" * 9, "！" * 11]),
        ("爱" * 15 + "👩‍👩‍👧👍🏽🇨🇳e\u0301", ["爱" * 10, "爱" * 5 + "👩‍👩‍👧👍🏽🇨🇳e\u0301"]),
        ("爱" * 8 + "👩‍👩‍👧" + "爱" * 8, ["爱" * 8, "👩‍👩‍👧" + "爱" * 8]),
        ("か" * 8 + "か\u3099。" + "か" * 8, ["か" * 8 + "か\u3099。", "か" * 8]),
        ("ｱｲｳ" * 20, ["ｱｲｳ" * 9 + "ｱｲ", "ｳ" + "ｱｲｳ" * 10]),
        ("a" * 9 + " " + "b" * 9 + "\u00a0" + "c" * 9 + " " + "d" * 9, ["a" * 9, "bbbbbbbbb\u00a0ccccccccc ddddddddd"]),
        ("说" * 8 + '"对"' + "说" * 8, ["说" * 8 + '"对"说', "说" * 7]),
        ('the one said "yes" and the other "no"', ['the one said "yes"', 'and the other "no"']),
        ("x" * 31 + " ! yes", ["x" * 31, "! yes"]),
        ("word couldn’t go and shouldn’t stay", ["word couldn’t go", "and shouldn’t stay"]),
        ("say ‘we could’ and ‘they would’ 他说’好", ["say ‘we could’ and", "‘they would’ 他说’好"]),
    ],
    ids=[
        "just fits",
        "even lines",
        "no comma first",
        "no stop first",
        "brackets",
        "words and numbers",
        "word wider than a line",
        "its quotes go with it",
        "French space",
        "dashes",
        "nothing but marks",
        "emoji",
        "joined emoji",
        "voiced kana",
        "half-width run",
        "no-break space",
        "straight quotes",
        "quotes between words",
        "mark that does not fit",
        "apostrophe",
        "single quotes",
    ],
)
def test_where_lines_break(line: str, expected: list[str]) -> None:
    assert wrap(line) == expected


@given(st.lists(st.sampled_from("新闻联播的，。！？、”）》“（《"), min_size=1, max_size=80).map("".join))
def test_no_line_starts_with_a_closing_mark_or_ends_with_an_opening_one(line: str) -> None:
    belonging = re.findall("[“（《]*[新闻联播的]?[，。！？、”）》]*", line)
    assume(all(display_width(run) <= COLUMNS for run in belonging))
    for before, after in pairwise(wrap(line)):
        assert before[-1] not in "“（《"
        assert after[0] not in "，。！？、”）》"
