r"""The long lists of a large response, decoded a batch of rows at a time straight from the bytes MPS sent.

One result may hold 50 MB of JSON, written as a JSON string. As one tree it takes ten times that in memory, and fetching
the memory takes most of the time. So the rows of the longest lists are cut out of the response, a number stands in for
them, and the few thousand bytes that remain are read as any response.

Where to cut is guessed: before ``{\"key\":``, as the first row of the list begins. A batch of rows that in brackets is
a JSON string and, unescaped, a JSON list proves the guess, because JSON is read from left to right. Where one is wrong,
``NotAsGuessed`` tells the caller to read the response as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from shared.patterns import regex

BATCH = 1 << 17  # bytes decoded at once: few enough to stay in the processor's cache
_ROW = 1 << 20  # bytes; where none of its rows begins within so many, a list has ended
_DATA = b'"Data":"{'  # not to be found inside a result, where quotes are escaped
_LISTS = tuple(rb"\"%b\":[{" % name for name in (b"persons", b"tags", b"details"))
_FIRST_KEY = regex(rb'\{\\"\w+\\":')
_STANDS_IN = -46_116_860_184_270_000  # less the number of the list
_DIGITS = str(_STANDS_IN)[:-4].encode()  # which all of these numbers begin with


class NotAsGuessed(Exception):
    """The response has to be read as a whole."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A list most of which is still JSON: between each two of ``cuts`` lies a batch, and ``rest`` comes after them."""

    response: bytes
    cuts: list[int]
    rest: list[Any]

    def batches(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield all rows, each batch with the number of its first.

        Raises:
            NotAsGuessed: a batch is not whole.
        """
        first = 0
        for begin, end in zip(self.cuts, self.cuts[1:], strict=False):
            try:
                rows = orjson.loads(orjson.loads(b'"[%b]"' % self.response[begin + 1 : end]).encode())
            except orjson.JSONDecodeError as error:
                raise NotAsGuessed from error
            number, first = first, first + len(rows)
            yield number, rows
            del rows  # before the next batch is decoded
        yield first, self.rest


def batches(value: object) -> Iterator[tuple[int, Any]]:
    """Yield the batches of a list of which most is still JSON, and anything else as it is."""
    yield from value.batches() if isinstance(value, Rows) else [(0, value)]


class LongLists:
    """One response without some of its lists: ``remaining`` is what is left, ``cuts`` come from ``find``."""

    def __init__(self, response: bytes, cuts: Iterable[list[int]] = ()) -> None:
        self._response = response
        self.missing = {_STANDS_IN - number: found for number, found in enumerate(cuts)}
        kept, at = [], 0
        for number, found in self.missing.items():
            kept += [response[at : found[0] + 1], b"%d" % number]
            at = found[-1]
        self.remaining = b"".join([*kept, response[at:]]) if kept else response

    def put_back(self, text: bytes, data: Any) -> None:  # noqa: ANN401 - whatever JSON held
        """Replace the numbers in a result, whose ``text`` was parsed to ``data``, by the rows they stand for.

        Raises:
            NotAsGuessed: one of them is not the first value of a list right in ``data``.
        """
        left = text.count(_DIGITS) if self.missing else 0
        for name, value in data.items() if left and isinstance(data, dict) else ():
            first = value[0] if isinstance(value, list) and value else None
            cuts = self.missing.pop(first, None) if type(first) is int else None
            if cuts:
                data[name] = Rows(self._response, cuts, value[1:])
                left -= 1
        if left:
            raise NotAsGuessed


def find(response: bytes, batch: int = BATCH) -> list[list[int]]:
    """Return for each long list the bracket that opens it and the commas to cut at; nothing in a small response."""
    lists, data = [], response.find(_DATA) if len(response) > 2 * batch else -1
    while data >= 0:
        following = response.find(_DATA, data + 1)
        end, at = len(response) if following < 0 else following, data
        while opening := _next_list(response, at, end):
            cuts = _cuts(response, opening, end, batch)
            at = cuts[-1] + 1
            if len(cuts) > 1:
                lists.append(cuts)
        data = following
    return lists


def _next_list(response: bytes, at: int, end: int) -> int:
    """Return where the next list opens, or 0."""
    found = ((response.find(name, at, min(at + _ROW, end)), len(name) - 2) for name in _LISTS)
    return min((begin + bracket for begin, bracket in found if begin >= 0), default=0)


def _cuts(response: bytes, opening: int, end: int, batch: int) -> list[int]:
    cuts, first = [opening], _FIRST_KEY.match(response, opening + 1)
    comma = b"," + first[0] if first else b""
    while comma:
        at = cuts[-1] + 1
        cut = response.rfind(comma, at, min(at + batch, end))
        if cut < 0:
            cut = response.find(comma, at, min(at + _ROW, end))
        if cut < 0:
            break
        cuts.append(cut)
    return cuts
