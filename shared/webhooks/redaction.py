"""Takes out of a receiver's text whatever it repeats of what it was sent.

Error pages echo: Express and Apache name the path in their 404, debug pages list headers and cookies, others say whose
password was wrong. Paths, queries and headers of webhooks hold tokens, and what a receiver says is kept and shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from shared.patterns import regex

MASK = "[redacted]"
_RUN = 8  # as many characters in a row that both have are a repetition, whatever stands around them
_SHORTEST = 3  # bytes; less protects nothing, and would mask half of what can be said
_DEEPEST = 4  # escapes within escapes
_ESCAPED = regex(
    r"(?P<bytes>(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+)"
    r"|(?P<units>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});)"
    r"|\\(?P<itself>[/\"'\\])"
)
_HEX = regex(r"[%\\xu]+")
_BETWEEN_TOKENS = regex(r"[\s,;&/?]+")
_BETWEEN_WORDS = regex(r"[^\w.~-]+")
_BASIC = regex(r"basic +(?P<credentials>[A-Za-z0-9+/_-]+=*)", re.IGNORECASE)
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True, slots=True)
class _Level:
    """A text with some escapes undone, and where each of its characters starts and ends in the text as it came."""

    text: str
    starts: array[int]
    ends: array[int]


def redact(text: str, sent: Iterable[str]) -> str:
    """Return ``text`` with everything masked that it repeats of ``sent``, escaped, cut or in part.

    Args:
        text: what a receiver says.
        sent: path and query, values of headers, secrets: whatever it was sent and nobody else is to see.
    """
    if not text:
        return ""
    known = [level.text for value in sent for part in (value, *_basic_credentials(value)) for level in _levels(part)]
    words = {_folded(word) for value in known for word in _words(value)}
    runs = {word[start : start + _RUN] for word in words for start in range(len(word) - _RUN + 1)}
    hidden = bytearray(len(text))
    for level in _levels(text):
        for start, end in _repetitions(_folded(level.text), runs, words):
            first, last = level.starts[start], level.ends[end - 1]
            hidden[first:last] = b"\1" * (last - first)
    pieces = groupby(range(len(text)), hidden.__getitem__)
    return "".join(MASK if is_hidden else "".join(map(text.__getitem__, where)) for is_hidden, where in pieces)


def _repetitions(text: str, runs: set[str], words: set[str]) -> Iterator[tuple[int, int]]:
    for start in range(len(text)):
        if text[start : start + _RUN] in runs:
            yield start, start + _RUN
        for end in range(start + 1, min(start + _RUN, len(text) + 1)):
            if text[start:end] in words and _counts(text, start, end):
                yield start, end


def _counts(text: str, start: int, end: int) -> bool:
    """Say whether a word is long enough and no part of a longer one; some scripts have no blanks between words."""
    if not text[start:end].isascii():
        return len(text[start:end].encode(errors="replace")) >= _SHORTEST
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return end - start >= _SHORTEST and not any(letter.isascii() and letter.isalnum() for letter in around)


def _folded(text: str) -> str:
    """Return the text as it is compared: a form writes + for a blank."""
    return text.replace("+", " ")


def _words(value: str) -> Iterator[str]:
    """Yield the value, the tokens in it without the names they are given by, and the words in these."""
    yield value
    for part in _BETWEEN_TOKENS.split(value):
        _name, _, rest = part.partition("=")
        token = (rest if rest.strip("=") else part).strip("\"'")
        yield token
        yield from _BETWEEN_WORDS.split(token)


def _basic_credentials(value: str) -> tuple[str, ...]:
    """Return the pair, the user and the password of Basic authorization; nothing if it is none."""
    match = _BASIC.fullmatch(value)
    if match is None:
        return ()
    try:
        pair = base64.b64decode(match["credentials"] + "==", b"-_" if set("-_") & set(match["credentials"]) else None)
    except binascii.Error:
        return ()
    text = pair.decode(errors="replace")
    return (text, *text.split(":", 1))


def _levels(text: str) -> Iterator[_Level]:
    """Yield the text in lower case: as it is, and with its escapes undone once, twice, as often as there are any."""
    level = _Level(text.translate(_LOWER), array("I", range(len(text))), array("I", range(1, len(text) + 1)))
    yield level
    for _ in range(_DEEPEST):
        undone = _undo(level)
        if undone.text == level.text:
            return
        level = undone
        yield level


def _undo(level: _Level) -> _Level:
    text, starts, ends = "", array("I"), array("I")
    at = 0
    for match in _ESCAPED.finditer(level.text):
        begin, end = match.span()
        meant = _meaning(match).translate(_LOWER)
        text += level.text[at:begin] + meant
        starts += level.starts[at:begin] + array("I", [level.starts[begin]]) * len(meant)
        ends += level.ends[at:begin] + array("I", [level.ends[end - 1]]) * len(meant)
        at = end
    return _Level(text + level.text[at:], starts + level.starts[at:], ends + level.ends[at:])


def _meaning(match: re.Match[str]) -> str:
    if match["bytes"]:
        return bytes.fromhex(_HEX.sub("", match[0])).decode(errors="replace")
    if match["units"]:
        return bytes.fromhex(_HEX.sub("", match[0])).decode("utf-16-be", errors="replace")
    if match["entity"]:
        from html import unescape

        return unescape(match[0])
    return match["itself"]
