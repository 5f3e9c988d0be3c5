"""Line breaking for captions by East Asian display width, where a person would break.

What a line may break at is one table of rules, ``_RULES``; docs/captions.md tells it in words. It follows the line
breaking algorithm of Unicode (UAX #14) and the requirements for Chinese and Japanese text layout (clreq, jlreq).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

from shared.patterns import regex
from shared.smarttag.captions.phrases import phrase_ends
from shared.smarttag.captions.quantities import KEPT_WHOLE
from shared.smarttag.captions.signs import kind_of, width_of

COLUMNS = 32  # 16 full-width characters


class _Break(IntEnum):
    """How a line can end, best first. Those after PHRASE are used only in what is wider than a line."""

    SENTENCE = 0
    CLAUSE = 1
    SPACE = 2
    PHRASE = 3
    CLUSTER = 4  # between two signs of a script without spaces
    ADDRESS = 5  # after a slash or the like inside of a word
    WORD = 6  # inside a word, a number, or a number with its unit
    MARK = 7  # before a closing mark, after an opening one
    SIGN = 8  # inside of what is read as one sign


# What a line's end costs, against half the square of the columns that are left empty. Captions have two lines: another
# caption costs more than any unevenness, its second line next to nothing.
_COST = (0, 100, 200, 500, 4_000, 4_000, 8_000, 20_000, 40_000)
_COST_OF_FIRST_LINE = 2_500
_COST_OF_SECOND_LINE = 100
_NEVER = 1 << 60

_RULES = tuple(
    (rank, regex(pattern))
    for rank, pattern in (
        # Patterns are over the kinds of signs (signs.py). A break at the end of a match ranks so; later rows override.
        (_Break.SPACE, "[SZ]+|T"),
        (_Break.CLAUSE, "HZ*S[SZ]*(?=H)"),
        (_Break.CLAUSE, "[Mm][MmCcQ]*[SZ]*"),
        (_Break.SENTENCE, "[Ee][EeMmCcQ]*[SZ]*"),
        (_Break.WORD, "[AUocemyQX](?=[AUocemyQX])|U(?=H)|H(?=U)"),
        (_Break.ADDRESS, "y(?=A)"),
        (_Break.MARK, "(?<=[^SZ])(?=[CcEeMmXYyT])|[OoQYW](?=[^SZ])|[^SZ](?=[QW])"),
        (_Break.CLUSTER, "(?<!S)S+(?=[CcEeMmXYy])|[Oo]S+"),
    )
)
_UNDER_MARKS = regex("([^SZJV])([JV]+)")
_ONE_SIGN = regex("(?=[JVSZ])|V(?=.)|L(?=H)")


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is not broken: ``line[start:end]``; white space after it is left out where a line ends."""

    start: int
    end: int
    cost: int  # of a line that ends here


def wrap(line: str) -> list[str]:
    """Break one line into lines of 32 columns at most: few, of about equal length, and broken at the best places.

    Zero-width spaces are places to break, and are left out.
    """
    offsets = [0, *accumulate(map(width_of, line))]
    spans = [(0, len(line))] if offsets[-1] <= COLUMNS else _fill(_pieces(line, offsets), offsets)
    return [line[start:end].replace("\u200b", "") for start, end in spans]


def _fill(pieces: list[_Piece], offsets: list[int]) -> list[tuple[int, int]]:
    """Return where lines start and end so that their costs together are least."""
    # For so many pieces in an even and in an odd number of lines: (cost, number of pieces before the last line).
    best = [((0, 0), (_NEVER, 0))]
    for last, piece in enumerate(pieces):
        even, odd = [], []
        for first in range(last, -1, -1):
            empty = COLUMNS - offsets[piece.end] + offsets[pieces[first].start]
            if empty < 0:
                break
            uneven = empty * empty // 2
            odd.append((best[first][0][0] + uneven, first))
            even.append((best[first][1][0] + uneven, first))
        (even_cost, even_from), (odd_cost, odd_from) = min(even), min(odd)
        best.append(
            (
                (even_cost + _COST_OF_SECOND_LINE + 2 * piece.cost, even_from),  # a caption ends here
                (odd_cost + _COST_OF_FIRST_LINE + piece.cost, odd_from),
            )
        )
    lines = []
    after = len(pieces)
    odd_lines = best[after][1] < best[after][0]
    while after:
        first = best[after][odd_lines][1]
        lines.append((pieces[first].start, pieces[after - 1].end))
        after, odd_lines = first, not odd_lines
    return lines[::-1]


def _pieces(line: str, offsets: list[int]) -> list[_Piece]:
    """Cut a line wherever it may break; pieces that are still too wide also where it breaks less well."""
    kinds = "".join(map(kind_of, line)).replace("RR", "HJ")  # two regional indicators are one flag
    ranks = _ranks(line, kinds)
    spans = [(0, len(line))]
    for rank in list(_Break)[_Break.PHRASE :]:
        spans = [part for span in spans for part in _cut(span, rank, ranks, offsets, kinds)]
    ranks.append(_Break.SENTENCE)
    return [_Piece(start, _without_space(kinds, start, end), _COST[ranks[end]]) for start, end in spans]


def _cut(
    span: tuple[int, int], rank: _Break, ranks: list[int], offsets: list[int], kinds: str
) -> list[tuple[int, int]]:
    start, end = span
    if rank > _Break.PHRASE and offsets[_without_space(kinds, start, end)] - offsets[start] <= COLUMNS:
        return [span]
    cuts = [start, *(at for at in range(start + 1, end) if ranks[at] <= rank), end]
    return list(pairwise(cuts))


def _without_space(kinds: str, start: int, end: int) -> int:
    while end > start and kinds[end - 1] in "SZ":
        end -= 1
    return end


def _ranks(line: str, kinds: str) -> list[int]:
    """Return how a line could end before each of its signs."""
    ranks: list[int] = [_Break.CLUSTER] * len(line)
    for at in phrase_ends(line):
        ranks[at] = _Break.PHRASE
    bases = _UNDER_MARKS.sub(lambda sign: sign[1] * len(sign[0]), kinds)
    for rank, pattern in _RULES:
        for match in pattern.finditer(bases):
            if match.end() < len(line):
                ranks[match.end()] = rank
    for match in KEPT_WHOLE.finditer(line):
        for at in range(match.start() + 1, match.end()):
            ranks[at] = max(ranks[at], _Break.WORD)
    for match in _ONE_SIGN.finditer(kinds):
        if match.end() < len(line):
            ranks[match.end()] = _Break.SIGN
    return ranks
