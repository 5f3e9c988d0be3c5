"""Speech to caption: hypothesis strategies, a seeded generator, and what a reader would see of a text."""

from __future__ import annotations

import random
import unicodedata
from itertools import accumulate

from hypothesis import strategies as st

from shared.smarttag.model import Segment

_PIECES = (
    "今天上午十点，国务院新闻办公室举行新闻发布会，介绍了有关情况。",
    "他说：“我们会按时完成！”",
    "……",
    "——",
    "（完）",
    "COVID-19",
    "3,141.59",
    "https://example.com/a/long/path/without/any/space?q=1&r=2",
    " and then ",
    " 　 ",
    "-->",
    "<b>bold</b>",
    "<00:00:01.000>",
    "&amp; &nbsp;&",
    "{\\an8}",
    "\r\n\r\n",
    "\n",
    "NOTE ",
    "STYLE",
    "\x00",
    "\u202eabc\u2066",
    "\ufeff",
    "👩‍👩‍👧",
    "👍🏽",
    "🇨🇳",
    "e\u0301",
    "\u2028",
    "한국어",
    "회의에서 담당자에게 문의하라는 안내가 있었고 ",
    "２０２７年３月１５日在ＢＴＶ演播厅",
    "วันนี้เราจะมาพูดถึงการประชุม",
    "བོད་ཡིག་གི་ཚིག་གྲུབ་རིང་པོ།",
    "\\N\\h",
    "00:00:01,000 00:00:02,000",
    "\n42\n",
    "«да»",
)
_REVERSING = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
_ALSO_UNSEEN = set("\xad\u061c\u180e\u200b\u200e\u200f\ufeff\ufff9\ufffa\ufffb")

texts = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))


def visible(text: str) -> str:
    """Return the base characters of ``text`` without white space: what no caption may lose or add."""
    return "".join(
        char
        for char in text
        if not char.isspace()
        and unicodedata.ucd_3_2_0.category(char) not in {"Cc", "Cf", "Mn", "Me"}  # the data that captions go by
        and unicodedata.bidirectional(char) not in _REVERSING
        and char not in _ALSO_UNSEEN
    )


@st.composite
def sequences(draw: st.DrawFn, *, unhurried: bool = False) -> tuple[Segment, ...]:
    """Segments one after the other, some back to back, each with a length of its own; unhurried: enough to read it."""
    length = st.integers(10_000, 90_000) if unhurried else st.integers(1, 9000)
    lengths = draw(st.lists(st.tuples(st.integers(0, 5000), length, texts), max_size=8))
    ends = accumulate(gap + length for gap, length, _ in lengths)
    return tuple(Segment(end - length, end, text) for end, (_, length, text) in zip(ends, lengths, strict=True))


def generated(seed: int) -> tuple[Segment, ...]:
    """Return the transcript of this number: up to 100 hours in, long and short, gaps and none, every nasty text."""
    rng = random.Random(seed)
    now = rng.choice((0, 1, 3_599_990, rng.randrange(360_000_000)))
    segments = []
    for _ in range(rng.randrange(1, 12)):
        start = now + rng.choice((0, 0, 1, 40, rng.randrange(5000)))
        now = start + rng.choice((1, 2, 40, 999, 1000, rng.randrange(1, 20_000)))
        segments.append(Segment(start, now, "".join(rng.choices(_PIECES, k=rng.randrange(0, 9)))))
    return tuple(segments)
