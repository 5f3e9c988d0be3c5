"""The text of a response that is not plain UTF-8: read in the encoding it is in, or refused by name.

A wrong guess would turn names into other names, so nothing is replaced and doubt is a refusal.
"""

from __future__ import annotations

import json
from collections import Counter

from shared.errors import BadResponse
from shared.smarttag.checked_values import CheckedValues

# The characters that make up most of any Chinese text. Bytes of other encodings read as GB18030 give rare ones.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经"
    "么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又"
    "关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通"
    "教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市"
    "直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张"
    "该交规万取拉格望觉术领共确传师观清今切院让识候带导争运城州省县群景键词组织签标频片视影像图字音乐旅游采访"
)
_COMMON_SHARE = 0.4  # of a text's characters; a text of any other encoding stays well below


def decode(response: bytes, checked: CheckedValues) -> str:
    """Return the text of a response, and note an encoding other than UTF-8.

    Raises:
        BadResponse: it is in no encoding that can be told for sure.
    """
    encoding: str = json.detect_encoding(response)  # by its byte order mark, or by where its zero bytes stand
    try:
        text = response.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise BadResponse(f"MPS answered broken {encoding.upper()}; save the response as UTF-8") from error
        text, encoding = _chinese(response, error.start), "GB18030"
    if encoding == "utf-8-sig":
        checked.warn("byte-order-mark", "$", "a byte order mark before the JSON; skipped")
    elif encoding != "utf-8":
        checked.warn("encoding", "$", f"{encoding.upper()} where UTF-8 is documented; read as that")
    return text


def _chinese(response: bytes, bad: int) -> str:
    """Return GB18030 that reads as Chinese; ``bad`` is the first byte that is no UTF-8."""
    try:
        text = response.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    counts = {sign: count for sign, count in Counter(text).items() if "\u4e00" <= sign <= "\u9fff"}
    common = sum(count for sign, count in counts.items() if sign in _COMMON)
    if not common or common < _COMMON_SHARE * sum(counts.values()):
        raise BadResponse(f"MPS answered no UTF-8 (byte {bad}) and no Chinese in GB18030; save the response as UTF-8")
    return text
