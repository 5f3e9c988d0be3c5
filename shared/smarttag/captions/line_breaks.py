"""Line breaking for captions by East Asian display width, without tearing words, numbers or what reads as one sign.

Characters are judged by the frozen Unicode 3.2 data of the standard library plus the ranges of emoji, not by the
running Python's own data: every Python version gives the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import ucd_3_2_0 as ucd

COLUMNS = 32  # 16 full-width characters

_SPACE, _PLAIN, _OPENING, _CLOSING, _QUOTE = range(5)
_CLOSING_SIGNS = frozenset(",.;:?!%…—·，。、；：？！～％‰℃")  # besides the categories Pe and Pf
_UNBREAKABLE_SPACES = frozenset("\u00a0\u2007\u202f")
_BLANK_CATEGORIES = frozenset({"Zs", "Cf", "Mn", "Me"})
_APOSTROPHE = "\u2019"  # a closing quotation mark too: couldn’t and ‘could’ not
_ZERO_WIDTH_JOINER = "\u200d"
# What is younger than the data, or called something else by it.
_JOINING = re.compile("[\u1160-\u11ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")  # jamo, skin tones, variants
_WIDE_SYMBOL = re.compile("[\u2600-\u27bf\U0001f000-\U0001f1e5\U0001f200-\U0001fbff]")
_WIDE_IF_UNKNOWN = re.compile("[\u2e80-\u9fff\uf900-\ufaff\ufe10-\ufe6f\U00016fe0-\U0001b2ff\U00020000-\U0003fffd]")


@dataclass(slots=True)
class _Unit:
    """What may not be broken: ``line[start:end]``. White space before it is dropped where a line begins."""

    start: int
    end: int
    lead: int  # columns of the white space before it
    width: int  # columns of its own
    first: int  # kind of the first sign
    last: int  # kind of the last sign
    narrow: bool  # a run of half-width signs: a word or a number


def display_width(text: str) -> int:
    """Return how many columns ``text`` takes on one line."""
    return sum(map(_width, text))


def is_blank(text: str) -> bool:
    """Tell whether nothing in ``text`` can be read: white space, joiners, marks without a letter."""
    return all(ucd.category(char) in _BLANK_CATEGORIES for char in text)


def wrap(line: str) -> list[str]:
    """Break one line into as few lines of 32 columns as it needs, of about equal length.

    Half-width runs (words, numbers, addresses) stay whole; one wider than a line stands alone on its own. Closing
    punctuation stays with what it closes, opening punctuation with what it opens, where both fit on one line.
    """
    width = display_width(line)
    if width <= COLUMNS:
        return [line]
    units = _units(line)
    breaks = _fill(units, COLUMNS)
    for columns in range(-(-width // len(breaks)), COLUMNS):
        even = _fill(units, columns)
        if len(even) == len(breaks):
            breaks = even
            break
    return [line[start:end] for start, end in breaks]


def _fill(units: list[_Unit], columns: int) -> list[tuple[int, int]]:
    """Return where lines start and end if each takes as many units as fit."""
    lines: list[tuple[int, int]] = []
    used = 0
    for unit in units:
        if lines and used + unit.lead + unit.width <= columns:
            lines[-1] = lines[-1][0], unit.end
            used += unit.lead + unit.width
        else:
            lines.append((unit.start, unit.end))
            used = unit.width
    return lines


def _units(line: str) -> list[_Unit]:
    units: list[_Unit] = []
    for run in _runs(line):
        if units and _belong_together(units[-1], run):
            units[-1].end = run.end
            units[-1].width += run.lead + run.width
            units[-1].last = run.last
        else:
            units.append(run)
    return units


def _belong_together(left: _Unit, right: _Unit) -> bool:
    together = right.first == _CLOSING or (
        not right.lead and (left.last == _OPENING or _QUOTE in {left.last, right.first})
    )
    overlong = left.width > COLUMNS or right.width > COLUMNS
    return together and (overlong or left.width + right.lead + right.width <= COLUMNS)


def _runs(line: str) -> list[_Unit]:
    """Return full-width signs one by one, each with its marks or joined emoji, and half-width signs in runs."""
    runs: list[_Unit] = []
    lead = 0
    before = ""
    for at, char in enumerate(line):
        width, kind = _width(char), _kind(char)
        if kind == _SPACE:
            lead += width
            continue
        latin = width == 1 or (char == _APOSTROPHE and _is_half_width(line[at + 1 : at + 2]))
        if runs and not lead and (width == 0 or before == _ZERO_WIDTH_JOINER or (latin and runs[-1].narrow)):
            runs[-1].end = at + 1
            runs[-1].width += width
            runs[-1].last = kind
        else:
            runs.append(_Unit(at, at + 1, lead, width, kind, kind, width == 1))
        lead, before = 0, char
    return runs


def _is_half_width(char: str) -> bool:
    return char != "" and _width(char) == 1 and _kind(char) != _SPACE


@lru_cache(maxsize=8192)
def _kind(char: str) -> int:
    category = ucd.category(char)
    if category == "Zs" and char not in _UNBREAKABLE_SPACES:
        return _SPACE
    if char in "\"'":
        return _QUOTE
    if category in {"Ps", "Pi"}:
        return _OPENING
    return _CLOSING if category in {"Pe", "Pf"} or char in _CLOSING_SIGNS else _PLAIN


@lru_cache(maxsize=8192)
def _width(char: str) -> int:
    """Return the columns of one code point: 0 for what joins the sign before it, 2 for full width, else 1."""
    category, east_asian = ucd.category(char), ucd.east_asian_width(char)
    if category in {"Mn", "Me", "Mc", "Cf"} or _JOINING.match(char):
        return 0
    if category == "Cn":
        return 2 if _WIDE_SYMBOL.match(char) or _WIDE_IF_UNKNOWN.match(char) else 1
    # Ambiguous punctuation (curly quotes, ellipsis, dash) is full width where the text is Chinese.
    ambiguous = east_asian == "A" and category.startswith("P")
    return 2 if east_asian in {"W", "F"} or ambiguous or _WIDE_SYMBOL.match(char) else 1
