"""What is shown of long lists, and of texts that are long or cannot be seen.

The page must stay small whatever a job holds, so every list has a limit and says how many entries lie beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from unicodedata import ucd_3_2_0 as ucd  # the same in every Python, and so is the page

T = TypeVar("T")
_ELLIPSIS = "…"
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"})  # not Cn: what is younger than the data can be seen,
_YOUNG = frozenset("\u061c\u2066\u2067\u2068\u2069")  # but for these marks of direction


@dataclass(frozen=True, slots=True)
class Limits:
    """How many entries of each kind are shown, and how many characters of a name and of a text."""

    alerts: int = 300  # rows of people to be reviewed are shown even beyond the limits of their kind
    persons: int = 50
    tags: int = 100
    concepts: int = 60
    ranges: int = 16_000  # of all rows together
    segments: int = 2500
    screen: int = 300
    entries: int = 100
    name: int = 240
    text: int = 2000
    speech: int = 120_000  # characters of the whole transcript

    def divided(self, by: int) -> Limits:
        """Return limits that are ``by`` times as strict, for a page that came out too large."""
        return Limits(*(max(1, getattr(self, name) // by) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Capped(Generic[T]):
    """The first entries of a list, and how many more there are."""

    items: tuple[T, ...]
    rest: int


def cap(items: Sequence[T], limit: int) -> Capped[T]:
    """Return the first ``limit`` items and the count of the others."""
    return Capped(tuple(items[:limit]), max(0, len(items) - limit))


def fair(lengths: Sequence[int], room: int) -> int:
    """Return how many entries each of these lists may show so that all together they show ``room`` at most."""
    for index, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - index)
        if length > share:
            return share
        room -= length
    return max(lengths, default=0)


def visible(text: str, limit: int) -> str:
    """Return ``text`` as it can stand in HTML, cut after ``limit`` characters, never invisible.

    Control characters, which HTML cannot carry, become U+FFFD; a text of invisible characters only is spelt out as
    code points, since an editor cannot point at nothing.
    """
    cut = text if len(text) <= limit else text[:limit] + _ELLIPSIS
    clean = "".join(c if c in "\n\t" or ucd.category(c) not in ("Cc", "Cs") else "\ufffd" for c in cut)
    if any(c not in _YOUNG and ucd.category(c) not in _INVISIBLE for c in clean):
        return clean
    return " ".join(f"U+{ord(c):04X}" for c in text[:8]) or "—"
