"""What each sign is to line breaking: its kind and its width in columns.

Signs are judged by the frozen Unicode 3.2 data of the standard library plus the ranges of emoji, not by the running
Python's own data: every Python version gives the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import ucd_3_2_0 as ucd

from shared.patterns import regex

# The kind of a sign is a letter; a small one where a half-width mark is part of the half-width word around it.
_SIGNS = {
    "Z": "\u200b",  # a place to break, not shown
    "W": "\u00a0\u2007\u202f\u2011\u2060\u0f0c",  # no break on either side
    "T": "\u0f0b\u1361",  # tsheg and Ethiopic word space: a break after
    "L": "\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4",  # vowels written before their consonant
    "J": "\u0e33\u0eb3",  # vowels written after it, with a part above
    "Q": "\"'",
    "X": "\u2019",  # an apostrophe, or a closing quotation mark
    "Y": "／",
    "y": "/",
    "E": "。．｡！？‼⁇⁈⁉।॥།༎༏؟۔።",
    "e": ".!?",
    "M": "，、；：､،؛…‥—―",
    "m": ",;:",
    "C": "·・･‧々〻ゝゞヽヾー～〜゠‐–％‰℃℉°′″¢￠ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶｧｨｩｪｫｬｭｮｯｰﾞﾟๆฯ๚๛"
    + "".join(map(chr, range(0x31F0, 0x3200))),  # small kana of Ainu
    "c": "%",
    "O": "￥＄￡￦＃№€¥£₩",
}
_KIND_OF = {sign: kind for kind, signs in _SIGNS.items() for sign in signs}
_KIND_OF_CATEGORY = {"Zs": "S", "Ps": "O", "Pi": "O", "Pe": "C", "Pf": "C", "Mn": "J", "Me": "J", "Mc": "J", "Cf": "J"}

# What is younger than the data, or called something else by it.
_JOINING = regex("[\u1160-\u11ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")  # jamo, skin tones, variants
_WIDE_SYMBOL = regex("[\u2600-\u27bf\U0001f000-\U0001f1e5\U0001f200-\U0001fbff]")
_WIDE_IF_UNKNOWN = regex("[\u2e80-\u9fff\uf900-\ufaff\ufe10-\ufe6f\U00016fe0-\U0001b2ff\U00020000-\U0003fffd]")
_HANGUL = regex("[\u1100-\u115f\u3131-\u318e\uac00-\ud7a3]")
_FULL_WIDTH_WORD = regex("[０-９Ａ-Ｚａ-ｚ]")
_WITHOUT_SPACES = regex("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\uaa60-\uaadf\uff65-\uff9f]")
_DOUBLED_IN_SUBRIP = frozenset("<{\\&")  # may be written full width there
_BLANK_CATEGORIES = frozenset({"Zs", "Cf", "Mn", "Me"})
_VIRAMA = 9  # the combining class of signs that bind the next letter
_ZERO_WIDTH_JOINER = "\u200d"


def display_width(text: str) -> int:
    """Return how many columns ``text`` takes on one line."""
    return sum(map(width_of, text))


def is_blank(text: str) -> bool:
    """Tell whether nothing in ``text`` can be read: white space, joiners, marks without a letter."""
    return all(ucd.category(char) in _BLANK_CATEGORIES for char in text)


@lru_cache(maxsize=8192)
def kind_of(char: str) -> str:  # noqa: PLR0911 - one return for each kind
    """Return the letter of one code point.

    That of ``_SIGNS``; else S space, O or o opening, C or c closing, J joined to the sign before, V binding the next as
    well, R regional indicator, U Hangul, A part of a word, H standing for itself.
    """
    category = ucd.category(char)
    if char in _KIND_OF:
        return _KIND_OF[char]
    if char == _ZERO_WIDTH_JOINER or ucd.combining(char) == _VIRAMA:
        return "V"
    if category in _KIND_OF_CATEGORY:
        kind = _KIND_OF_CATEGORY[category]
        return kind.lower() if kind in "OC" and width_of(char) == 1 else kind
    if _JOINING.match(char):
        return "J"
    if "\U0001f1e6" <= char <= "\U0001f1ff":
        return "R"
    if _HANGUL.match(char):
        return "U"
    stands_for_itself = _WITHOUT_SPACES.match(char) or (width_of(char) > 1 and char not in _DOUBLED_IN_SUBRIP)
    return "H" if stands_for_itself and not _FULL_WIDTH_WORD.match(char) else "A"


@lru_cache(maxsize=8192)
def width_of(char: str) -> int:
    """Return the columns of one code point: 0 for what stands above or below another, 2 for full width, else 1."""
    category, east_asian = ucd.category(char), ucd.east_asian_width(char)
    if category in {"Mn", "Me", "Cf"} or _JOINING.match(char):
        return 0
    if category == "Cn":
        return 2 if _WIDE_SYMBOL.match(char) or _WIDE_IF_UNKNOWN.match(char) else 1
    # Ambiguous punctuation (curly quotes, ellipsis, dash) is full width where the text is Chinese.
    ambiguous = east_asian == "A" and category.startswith("P")
    wide = east_asian in {"W", "F"} or ambiguous or char in _DOUBLED_IN_SUBRIP or _WIDE_SYMBOL.match(char)
    return 2 if wide else 1
