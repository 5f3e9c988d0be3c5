"""Where phrases end in text that has no spaces between words, as BudouX's models tell it.

The models are loaded when a line of their script is met that is too long; they are pinned, so they always say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from unicodedata import ucd_3_2_0 as ucd

from shared.patterns import regex

if TYPE_CHECKING:
    from budoux import Parser

_THAI_OR_NOT = regex("[\u0e00-\u0e7f]+|[^\u0e00-\u0e7f]+")
_KANA = regex("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_HAN = regex("[\u3400-\u9fff\uf900-\ufaff]")
_NO_WORD = regex("[^\u3400-\u9fffA-Za-z0-9]")
# The models know full-width kana and half-width letters only; one sign stands for one.
_FOLDED = {code: ucd.normalize("NFKC", chr(code)) for code in (*range(0xFF66, 0xFF9E), *range(0xFF10, 0xFF5B))}
_FOLDED = {code: sign for code, sign in _FOLDED.items() if sign.isalnum()}
_PARTICLES = frozenset("的了着过们地得吗呢吧啊呀嘛啦著過們嗎")  # belong to the word before


def phrase_ends(line: str) -> Iterator[int]:
    """Yield the positions in ``line`` before which a phrase ends; none for scripts that have spaces or no model."""
    for run in _THAI_OR_NOT.finditer(line):
        model = _model(run.group())
        if model:
            at = run.start()
            phrases = _parser(model).parse(run.group().translate(_FOLDED))
            for phrase, following in pairwise(phrases):
                at += len(phrase)
                if not model.startswith("zh") or _is_end(_NO_WORD.sub("", phrase), _NO_WORD.sub("", following)):
                    yield at


def _is_end(phrase: str, following: str) -> bool:
    """Tell whether a Chinese phrase ends here: the models cut words, and a sign left alone is often half of one."""
    return following not in _PARTICLES and (len(phrase) > 1 or phrase in _PARTICLES)


def _model(text: str) -> str:
    if "\u0e00" <= text[0] <= "\u0e7f":
        return "th"
    if _KANA.search(text):
        return "ja"
    if _HAN.search(text) is None:
        return ""
    # Each of the two old character sets lacks most of what only the other way of writing has.
    simplified, traditional = (len(text.encode(name, "ignore")) for name in ("gb2312", "big5"))
    return "zh-hant" if traditional > simplified else "zh-hans"


@lru_cache(maxsize=4)
def _parser(model: str) -> Parser:
    import budoux

    loaders = {
        "ja": budoux.load_default_japanese_parser,
        "th": budoux.load_default_thai_parser,
        "zh-hans": budoux.load_default_simplified_chinese_parser,
        "zh-hant": budoux.load_default_traditional_chinese_parser,
    }
    return loaders[model]()
