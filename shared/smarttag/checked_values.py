"""Reading values that may be anything: each helper returns something usable and notes what it had to skip or repair."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from shared.smarttag import mending
from shared.smarttag.long_lists import Rows
from shared.smarttag.model import Notice
from shared.smarttag.ranges import MAX_MS

SAME_KIND = 20  # warnings kept of one code; codes are few, so the whole list stays short whatever comes in
NO_SCORE = -1.0  # how the vendor writes that there is no confidence
_SHOWN = 60  # characters of a path segment or value that a warning repeats
_NO_CONTENT = frozenset({"success", "message"})
# What was there and could not be read, as against what was doubted or repaired.
_LOST = frozenset(
    {"wrong-type", "reversed-range", "no-time", "not-finite", "absurd-time", "not-a-link", "too-deep", "invalid-json"}
)
_NUL = "a NUL character, which databases refuse; replaced by U+FFFD"
_BYTE_ORDER_MARK = "\ufeff".encode()
Json = Any  # what orjson.loads returns
Item = dict[str, Json]


class CheckedValues:
    """The warnings of one response, bounded in number; ``lost`` counts the values that could not be read."""

    def __init__(self) -> None:
        self.lost = 0
        self._kept: list[Notice] = []
        self._counts: Counter[str] = Counter()

    def warn(self, code: str, path: str, message: str) -> None:
        """Note one value that was skipped, repaired or doubted."""
        self._counts[code] += 1
        self.lost += code in _LOST
        if self._counts[code] <= SAME_KIND:
            self._kept.append(Notice(code, path, message))

    def count(self, code: str) -> int:
        """Return how often a code was noted."""
        return self._counts[code]

    def warnings(self) -> tuple[Notice, ...]:
        """Return the warnings in order, and a last one for those beyond the bound."""
        more = self._counts.total() - len(self._kept)
        if not more:
            return tuple(self._kept)
        codes = ", ".join(f"{count} {code}" for code, count in sorted(self._counts.items()) if count > SAME_KIND)
        return (*self._kept, Notice("more", "$", f"and {more} more; in all: {codes}"))

    def parse(self, text: bytes, path: str) -> Json:
        """Parse JSON; where it is broken in one of the ways that are safe to mend, mend it and note so.

        Raises:
            json.JSONDecodeError: it is broken beyond that.
        """
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if text.startswith(_BYTE_ORDER_MARK):
                self.warn("byte-order-mark", path, "a byte order mark before the JSON; skipped")
                return self.parse(text[len(_BYTE_ORDER_MARK) :], path)
            try:
                document = mending.loads(text.decode())
            except ValueError:
                raise error from None
        self.warn("mended-json", path, "invalid JSON; read with the faulty values left out or replaced")
        return document

    def unwrapped(self, value: Json, path: str) -> Json:
        """Return what JSON written as text says, where an object or list is documented; any other value as it is."""
        while isinstance(value, str) and value.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
            try:
                value = self.parse(value.encode(), path)
            except json.JSONDecodeError:
                break
            self.warn("json-as-text", path, "JSON written as text inside JSON; read as meant")
        return value

    def items(self, value: Json, path: str, known: Iterable[str] = (), first: int = 0) -> list[tuple[str, Item]]:
        """Return the objects of a list with their paths; a single object stands for a list of one.

        Args:
            value: the list.
            path: where it stands.
            known: fields of which each object must have one: what has none would be read as nothing, without a word.
            first: the number of its first row in a longer list.
        """
        found, value = [], self.unwrapped(value, path)
        for index, raw in enumerate(self.array(value, path), first):
            where = path if raw is value else f"{path}[{index}]"
            item = self.unwrapped(raw, where)
            if not isinstance(item, dict):
                self.wrong(item, where, "an object")
            elif known and item.keys().isdisjoint(known):
                self.wrong(item, where, f"an object with {' or '.join(known)}")
            else:
                found.append((where, item))
        return found

    def array(self, value: Json, path: str) -> list[Json]:
        """Return a list; null is an empty one, and so are blank text and an object of nothing."""
        value = self.unwrapped(value, path)
        if isinstance(value, list):
            return value
        if isinstance(value, Rows):
            return [row for _, batch in value.batches() for row in batch]
        if isinstance(value, dict) and value:
            if all(map(str.isdecimal, value)):
                message = "an object with numbers for names where a list is documented; read as one"
                self.warn("numbered-object", path, message)
                return [*value.values()]
            self.warn("single-object", path, "an object where a list is documented; read as a list of one")
            return [value]
        if not _is_blank(value) and value != {}:
            self.wrong(value, path, "a list")
        return []

    def object(self, value: Json, path: str) -> Item:
        """Return an object; null is an empty one, and so are blank text and a list of none."""
        value = self.unwrapped(value, path)
        if isinstance(value, dict):
            return value
        if not _is_blank(value) and value != []:
            self.wrong(value, path, "an object")
        return {}

    def text(self, value: Json, path: str) -> str:
        """Return a string as it came but for NUL; a number becomes its digits, null the empty string."""
        if isinstance(value, str):
            if "\0" in value:
                self.warn("nul", path, _NUL)
            return value.replace("\0", "\ufffd")
        if isinstance(value, bool | int | float):
            self.warn("not-text", path, "a number or boolean where text is documented; kept as text")
            return orjson.dumps(value).decode()
        if value is not None:
            self.wrong(value, path, "text")
        return ""

    def number(self, value: Json, path: str) -> float | None:
        """Return a finite number; digits in a string count, null is None."""
        if value is None:
            return None
        # Python alone reads 1_000, and newer Pythons know the digits of more scripts.
        if isinstance(value, bool | list | dict) or (isinstance(value, str) and ("_" in value or not value.isascii())):
            self.wrong(value, path, "a number")
            return None
        try:
            number = float(value)
        except ValueError:
            self.wrong(value, path, "a number")
            return None
        if not math.isfinite(number):
            self.warn("not-finite", path, "not a finite number; ignored")
            return None
        if isinstance(value, str):
            self.warn("number-as-text", path, "a number written as text; read as a number")
        return number

    def ms(self, value: Json, path: str, per_unit: int = 1000) -> int | None:
        """Return a time in milliseconds; ``per_unit`` is 1 where the vendor's unit is the millisecond."""
        at = self._ms(value, path, per_unit)
        return None if at is None else self._not_before_start(at, path)

    def _ms(self, value: Json, path: str, per_unit: int) -> int | None:
        number = self.number(value, path)
        if number is None:
            if value is None:
                self.warn("no-time", path, "a time is missing")
            return None
        if not -MAX_MS <= number * per_unit <= MAX_MS:
            self.warn("absurd-time", path, "a time of over three years; ignored")
            return None
        return round(number * per_unit)

    def _not_before_start(self, at: int, path: str) -> int:
        if at < 0:
            self.warn("negative-time", path, "a time before the start; read as 0")
        return max(at, 0)

    def range(self, item: Json, path: str, per_unit: int = 1000) -> tuple[int, int] | None:
        """Return the range of an item that says from/to, startTime/endTime or start/end; None drops it."""
        if not isinstance(item, dict):
            self.wrong(item, path, "an object")
            return None
        for begin, end in (("from", "to"), ("startTime", "endTime"), ("start", "end")):
            if begin in item or end in item:
                break
        else:
            begin, end = "from", "to"
        first = self._ms(item.get(begin), f"{path}.{begin}", per_unit)
        last = self._ms(item.get(end), f"{path}.{end}", per_unit)
        if first is None or last is None:
            return None
        if last < first:
            self.warn("reversed-range", path, f"ends at {last} ms, before it starts at {first} ms; dropped")
            return None
        return self._not_before_start(first, f"{path}.{begin}"), self._not_before_start(last, f"{path}.{end}")

    def score(self, value: Json, path: str) -> float | None:
        """Return a confidence; the vendor's -1 means that there is none."""
        number = self.number(value, path)
        if number is None or number == NO_SCORE:
            return None
        if number < 0:
            self.warn("bad-score", path, "a negative score other than -1; ignored")
            return None
        return number

    def ratio(self, value: Json, path: str) -> float | None:
        """Return an appearance ratio of 0 to 1."""
        number = self.number(value, path)
        if number is not None and not 0 <= number <= 1:
            self.warn("bad-ratio", path, "a ratio outside 0 to 1; ignored")
            return None
        return number

    def plain(self, value: Json, path: str) -> Json:
        """Return a value that passes through as it came, or None where it nests too deeply to be written again."""
        try:
            written = orjson.dumps([[[[[[[[value]]]]]]]])
        except TypeError:
            self.warn("too-deep", path, "nested too deeply; left out")
            return None
        if b"\\u0000" not in written:
            return value
        self.warn("nul", path, _NUL)
        return without_nul(value)

    def unknown_fields(self, item: Item, known: frozenset[str], path: str) -> None:
        """Note fields that nothing here reads; they are still in response.json, and lost where there are no others."""
        for name in item:
            if name not in known:
                self.warn("unknown-field", f"{path}.{shown(name)}", "a field this version does not know; skipped")
        self.lost += any(item[name] for name in item.keys() - known) and not item.keys() & known - _NO_CONTENT

    def wrong(self, value: Json, path: str, wanted: str) -> None:
        """Note a value of the wrong type."""
        self.warn("wrong-type", path, f"{kind(value)} where {wanted} is documented; ignored")


def without_nul(value: Json) -> Json:
    """Return a value with every NUL in its strings replaced: PostgreSQL, for one, refuses a file that holds one."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return {without_nul(k): without_nul(v) for k, v in value.items()} if isinstance(value, dict) else value


def storable(text: str) -> str:
    """Return a text from outside the response without what JSON and databases refuse: NUL and halves of pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def _is_blank(value: Json) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def shown(name: str) -> str:
    """Return the head of a vendor's string for a path or message."""
    name = name.replace("\0", "\ufffd")
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"


def kind(value: Json) -> str:
    """Return the JSON type of a value, in words."""
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
