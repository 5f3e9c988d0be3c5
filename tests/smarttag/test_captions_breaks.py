"""Where lines break, held against the rules of typesetting by a checker that knows nothing of the code."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
import srt

from shared.smarttag import analyse
from shared.smarttag.captions import captions
from shared.smarttag.captions.line_breaks import wrap
from shared.smarttag.model import Segment
from tests.smarttag.break_rules import SCRIPTS, faults, transcript_in

CASES = Path(__file__).parent / "cases"
SEEDS = range(200 if os.environ.get("SOAK") else 5)  # of each script: 2,000 transcripts, or 50


def cues(spoken: tuple[Segment, ...]) -> list[srt.Subtitle]:
    return list(srt.parse(captions.srt(spoken).decode()))


def lines_of(spoken: tuple[Segment, ...]) -> list[str]:
    return [line for cue in cues(spoken) for line in cue.content.split("\n")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_line_breaks_a_rule_of_typesetting(script: str) -> None:
    broken = 0
    for seed in SEEDS:
        spoken = transcript_in(SCRIPTS[script], random.Random(f"{script} {seed}"))
        lines = lines_of(spoken)
        assert faults(SCRIPTS[script], spoken, lines) == []
        broken += len(lines) - len(spoken)
    assert broken > len(SEEDS), "too few long texts were generated to judge the breaks"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_cue_has_two_lines_and_can_be_seen(script: str) -> None:
    for seed in SEEDS:
        shown = cues(transcript_in(SCRIPTS[script], random.Random(f"{script} {seed}")))
        assert all(len(cue.content.split("\n")) <= 2 for cue in shown)
        assert all((cue.end - cue.start).total_seconds() >= 0.2 for cue in shown)
        assert all(before.end <= after.start for before, after in pairwise(shown))


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("simplified", ["今天上午", "，国务院"]),
        ("simplified", ["他说“", "今天”"]),
        ("simplified", ["他说——", "—今天"]),
        ("simplified", ["花了￥１２，５００", "元今天"]),
        ("simplified", ["在ＢＴ", "Ｖ今天"]),
        ("simplified", ["今天上午国务院新闻办公室举行发布会"]),
        ("kana", ["ちょ", "っと"]),
        ("kana", ["パ", "ーティー"]),
        ("hangul", ["회의에서 담당", "자에게"]),
        ("latin", ["the qui", "ck fox"]),
        ("latin", ["it was 100", "km away"]),
        ("latin", ["a cafe", "\u0301"]),
        ("thai", ["เ", "ดินเล่น"]),
        ("tibetan", ["བོ", "ད་"]),
    ],
)
def test_the_checker_finds_faults(script: str, lines: list[str]) -> None:
    joined = "".join(lines).replace("100km", "100 km")
    assert faults(SCRIPTS[script], (Segment(0, 1, joined),), lines) != []


RIGHT = {
    "korean": [
        (0, 5628, "회의에서 담당자에게 문의하라는\n안내가 있었고 다음 주까지"),
        (5628, 8000, "답변을 받기로 했습니다"),
    ],
    "full-width": [
        (0, 3922, "活动定于２０２７年３月１５日\n在ＢＴＶ演播厅举行，"),
        (3922, 8000, "报名热线０１０１２３４５６７８，\n欢迎ＶＩＰ会员参加"),
    ],
    "no-spaces": [
        (0, 8000, "สวัสดีครับวันนี้เราจะมาพูดถึงการประชุม\nประจำปีของบริษัทและแผนงานในปีหน้า"),
        (10_000, 18_000, "วันนี้อากาศดีมากเราจึงไป\nเดินเล่นที่สวนสาธารณะกับเพื่อน"),
        (20_000, 28_000, "བོད་ཡིག་གི་ཚིག་གྲུབ་རིང་པོ་ཞིག་གིས་\nཕྲེང་གཅོད་ཇི་ལྟར་བྱེད་དགོས་པ་སྟོན།"),
    ],
    "commas": [
        (0, 3381, "发布会上，\n工程师介绍了新的存储方案，"),
        (3381, 8000, "随后回答了与会者提出的\n十几个问题，并展示了演示程序"),
    ],
    "short-and-long": [
        (1000, 2203, "这是一段在一百毫秒之内说完的很长\n很长的话，它会被切成好几条字幕，"),
        (2203, 3000, "每一条都短得看不见，\n因此应该换一种切法"),
        (5000, 6000, "一 二 三"),
    ],
}


@pytest.mark.parametrize("case", RIGHT)
def test_cases_that_others_got_wrong(case: str) -> None:
    segments = analyse((CASES / f"{case}.json").read_bytes()).segments
    assert segments is not None
    shown = [(round(cue.start.total_seconds() * 1000), round(cue.end.total_seconds() * 1000), cue.content)
             for cue in cues(segments)]  # fmt: skip
    assert shown == RIGHT[case]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("今天的会议到此结束，谢谢各位记者朋友的光临", ["今天的会议到此结束，", "谢谢各位记者朋友的光临"]),
        ("本次大會邀請了來自各國的專家學者參加討論", ["本次大會邀請了來自", "各國的專家學者參加討論"]),
        ("新しい製品の発表会が東京で行われました。", ["新しい製品の発表会が", "東京で行われました。"]),
        ("他在《新闻联播》里介绍了列奥纳多·达·芬奇", ["他在《新闻联播》里介绍了", "列奥纳多·达·芬奇"]),
        ("Well, it costs 1,250 USD for 100 km.", ["Well, it costs", "1,250 USD for 100 km."]),
        ("see https://example.com/a/very/long/path/to/it", ["see https://example.com/", "a/very/long/path/to/it"]),
        ("한국에서 가장 큰 도시는 서울이고 100만 원", ["한국에서 가장 큰 도시는", "서울이고 100만 원"]),
        ("ទ្រង់ទ្រាយធំនៅក្នុងប្រទេសកម្ពុជាសម័យថ្មី", None),
        ("မြန်မာနိုင်ငံ၏စာပေနှင့်ယဉ်ကျေးမှုသည်ရှေးကျသည်", None),
    ],
    ids=["zh-hans", "zh-hant", "ja", "title and name", "en", "address", "ko", "Khmer", "Burmese"],
)
def test_lines_read_well(line: str, expected: list[str] | None) -> None:
    lines = wrap(line)
    if expected is None:  # no spaces and no model: between clusters, but not inside one
        assert "".join(lines) == line
        assert all(not one[-1:].endswith(("\u17d2", "\u1039")) for one in lines)
    else:
        assert lines == expected
