"""What Chinese, Japanese and Korean typesetting forbids at the ends of lines: a checker, and transcripts to check.

The checker is written from clreq (section "Prohibition rules for line start and line end"), jlreq (appendix A, classes
cl-01 to cl-13), GB/T 15834 (5.1) and UAX #14, and knows nothing of the code that it checks.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from shared.smarttag.model import Segment

NEVER_FIRST = frozenset(
    "’”）〕］｝〉》」』】〗｠»"  # jlreq cl-02, clreq: closing quotation marks and brackets
    "‐〜゠–"  # cl-03
    "！？‼⁇⁈⁉"  # cl-04
    "・：；·‧"  # cl-05
    "。．"  # cl-06
    "、，"  # cl-07
    "…‥—"  # clreq, strict: ellipsis and dash; never broken inside in any case
    "ヽヾゝゞ々〻"  # cl-09
    "ー"  # cl-10
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"  # cl-11
    "°′″℃￠％‰"  # cl-13
    "～／"  # GB/T 15834: connecting mark and solidus
    ")]},.;:!?%"  # their half-width forms
    "।॥།༎་،؛؟"  # UAX #14, EX and BA: danda, shad, tsheg, Arabic marks
    "ๆฯ"
    "ำຳ"  # vowel signs that belong to the consonant before
)
NEVER_LAST = frozenset(
    "‘“（〔［｛〈《「『【〖｟«"  # cl-01, clreq
    "￥＄￡＃€№"  # cl-12
    "／"  # GB/T 15834
    "([{"
    "เแโใไ"  # vowels before their consonant
)
_WORD = re.compile(
    "[0-9A-Za-z\u00c0-\u024f\u0370-\u052f\u0900-\u0963\u0620-\u065f０-９Ａ-Ｚａ-ｚ\uac00-\ud7a3\u0f40-\u0fbc]"
)
_NUMBER = re.compile("[0-9０-９]")


@dataclass(frozen=True)
class Script:
    """Words of one script, what stands between two of them, and the marks that may follow one."""

    words: str  # with spaces between
    between: str
    marks: tuple[str, ...]
    quantities: tuple[str, ...]
    brackets: tuple[str, str] = ("（", "）")


_CHINESE_MARKS = ("，", "。", "、", "；", "：", "！", "？", "……", "——", "！？", "，", "。")
SCRIPTS = {
    "simplified": Script(
        "今天 上午 国务院 新闻办公室 举行 发布会 介绍了 有关 情况 并 回答 的 了 记者 提问 COVID-19疫情 ＢＴＶ台 列奥纳多·达·芬奇 我们 在 和 "
        "主持人 大家 收看 因此 A股 https://example.com/a的",
        "", _CHINESE_MARKS,
        ("￥１２，５００元", "３．５％", "２０２７年", "3月15日", "第3届", "100公里", "$4.50", "25℃", "1.2亿美元", "30分钟", "十几个"),
        ("“", "”"),
    ),
    "traditional": Script(
        "今天 上午 國務院 新聞 辦公室 舉行 發佈會 介紹了 有關 情況 並 回答 的 了 記者 提問 我們 在 與 主持人 觀眾",
        "", _CHINESE_MARKS, ("NT$100", "３．５％", "２０２７年", "15個", "100公里"), ("「", "」"),
    ),
    "kana": Script(
        "本日は 東京で 新しい 製品の 発表会が 行われ 多くの 記者が 集まり ました パーティーは とても 楽しかった です ちょっと "
        "キャッチ 人々 ウェブ ﾃﾚﾋﾞ Tシャツ",
        "", ("、", "。", "！", "？", "……", "・", "。"), ("１００円", "3時間", "￥500", "20％", "5人"), ("「", "」"),
    ),
    "hangul": Script(
        "회의에서 담당자에게 문의하라는 안내가 있었고 다음 주까지 답변을 받기로 했습니다 서울 방송국의 KBS에서",
        " ", (",", ".", "!", "?", ""), ("100만 원", "3개", "25℃", "2027년", "$30"), ("(", ")"),
    ),
    "latin": Script(
        "the quick brown fox jumps over lazy dogs couldn’t state-of-the-art Straßenbahn aujourd’hui naïve cafe\u0301 news "
        "3,141.59 rock'n'roll",
        " ", (",", ".", ";", ":", "!", "?", " —", "…", ""), ("100 km", "$4.50", "30 %", "1,250 USD", "5 kg"), ("“", "”"),
    ),
    "cyrillic": Script(
        "сегодня утром прошла конференция журналисты задали вопросы министру что-нибудь программа новости",
        " ", (",", ".", ";", "!", "?", " —", ""), ("100 км", "5 кг", "20 %", "1000 ₽"), ("«", "»"),
    ),
    "thai": Script(
        "สวัสดีครับ วันนี้ เราจะมา พูดถึง การประชุม ประจำปี ของบริษัท และ แผนงาน ในปีหน้า น้ำ ต่างๆ ฯลฯ เดินเล่น แม่น้ำ โรงเรียน ใหม่ ไทย\u200b",
        "", (" ", "", ""), ("100%", "฿500"), ("(", ")"),
    ),
    "tibetan": Script(
        "བོད་ ཡིག་ གི་ ཚིག་ གྲུབ་ རིང་ པོ་ ཞིག་ གིས་ ཕྲེང་ གཅོད་ ཇི་ ལྟར་ བྱེད་ དགོས་ པ་ སྟོན་",
        "", ("། ", ""), (), ("(", ")"),
    ),
    "devanagari": Script(
        "आज सुबह प्रधानमंत्री ने संवाददाता सम्मेलन में पत्रकारों के प्रश्नों का उत्तर दिया क्षेत्रीय",
        " ", (",", "।", "?", ""), ("100 km", "₹500"), ("(", ")"),
    ),
    "arabic": Script(
        "عقد الوزير مؤتمرا صحفيا صباح اليوم وأجاب عن أسئلة الصحفيين حول البرنامج الجديد",
        " ", ("،", ".", "؛", "؟", ""), ("100 km", "25%"), ("(", ")"),
    ),
}  # fmt: skip


def transcript_in(script: Script, rng: random.Random) -> tuple[Segment, ...]:
    """Return a made-up transcript: long and short, quick and slow, back to back or not."""
    now = rng.randrange(100_000)
    segments = []
    for _ in range(rng.randrange(1, 8)):
        start = now + rng.choice((0, 0, 1, 40, rng.randrange(5000)))
        now = start + rng.choice((0, 1, 40, 199, 1000, rng.randrange(1, 20_000), rng.randrange(1, 20_000)))
        segments.append(Segment(start, now, _speech(script, rng)))
    return tuple(segments)


def _speech(script: Script, rng: random.Random) -> str:
    said = []
    for _ in range(rng.choice((1, 3, 10, 20, 60))):
        word = (
            rng.choice(script.quantities)
            if script.quantities and rng.random() < 0.15
            else rng.choice(script.words.split(" "))
        )
        if rng.random() < 0.05:
            word = script.brackets[0] + word + script.brackets[1]
        said.append(word + (rng.choice(script.marks) if rng.random() < 0.2 else ""))
    return script.between.join(said).strip()


def faults(script: Script, spoken: Iterable[Segment], lines: list[str]) -> list[str]:
    """Return what is wrong with the lines into which the speech was broken, in words; nothing is."""
    source = " ".join(segment.text for segment in spoken)
    found = [f"{width(line)} columns: {line}" for line in lines if width(line) > 32]
    if "".join("".join(lines).split()) != "".join(source.replace("\u200b", "").split()):
        return [*found, f"not the text that was spoken: {lines}"]
    for before, after in pairwise(lines):
        why = _fault(before, after, spaced=_is_spaced(source, before, after))
        found += [f"{why}: {before} | {after}"] if why else []
    for quantity in script.quantities:
        if sum(line.count(quantity) for line in lines) != source.count(quantity):
            found.append(f"{quantity} is torn: {lines}")
    return found


def _is_spaced(source: str, before: str, after: str) -> bool:
    """Tell whether white space or a zero-width space stood between two lines.

    Where the two are found in the source both with and without, they count as spaced.
    """
    pattern = "\u200b*".join(map(re.escape, before[-12:])) + "[\\s\u200b]+" + "\u200b*".join(map(re.escape, after[:12]))
    return re.search(pattern, source) is not None


def _fault(before: str, after: str, *, spaced: bool) -> str:
    last, first = before[-1], after[0]
    if first in NEVER_FIRST and not (spaced and first in ",.;:!?%)]}—…–»”ฯ"):
        return f"{first} begins a line"
    if last in NEVER_LAST:
        return f"{last} ends a line"
    if unicodedata.category(first).startswith("M") or "\u200d" in (first, last):
        return "a sign is torn"
    base = re.sub("[\u0300-\u036f]+$", "", before)[-1]
    if not spaced and _WORD.match(base) and _WORD.match(first):
        return "a word is torn"
    return ""


def width(text: str) -> int:
    """Return columns: two for wide and full-width signs, none for marks above and below, else one."""
    return sum(
        0
        if unicodedata.category(char) in {"Mn", "Me", "Cf"}
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )
