"""The one way to the terminal. Text that others wrote is shown, and neither obeyed nor read as markup.

Names, reasons and answers come from the vendor, from receivers, from the bucket and from file names. What a terminal
would act on (ANSI sequences, C0 and C1 controls), what changes the order in which text is read (bidirectional controls)
and what nobody can see is written as JSON escapes it, so that JSON stays what it was.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # categories of Unicode's character database
_NARROWEST = 12  # characters of a column whose cells may be wrapped


class _Escapes(dict[int, str]):
    """What stands for a code point, looked up once for each that is met."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        units = letter.encode("utf-16-be", "surrogatepass")
        escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        self[code] = escaped if unicodedata.category(letter) in _UNSEEN else letter
        return self[code]


_ESCAPES = _Escapes()


def printable(text: object) -> str:
    """Return what can be shown of ``str(text)`` as it is, and the rest escaped."""
    return str(text).translate(_ESCAPES)


def say(text: object = "", *, error: bool = False) -> None:
    """Print one line, to standard error where it is one."""
    _write(printable(text), error=error)


def say_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON."""
    lines = json.dumps(value, ensure_ascii=False, indent=indent).split("\n")
    _write("\n".join(map(printable, lines)), error=False)


def console(*, error: bool = False) -> Console:
    """Return the terminal, without markup, emoji codes and highlighting; what others wrote must be ``printable``."""
    return Console(stderr=error, markup=False, emoji=False, highlight=False)


def say_table(
    columns: Iterable[Column | str], rows: Iterable[Sequence[object]], title: str = "", *, frame: bool = True
) -> None:
    """Print a table; a column that is not to be wrapped keeps its width, however narrow the terminal is."""
    shown = [[each if isinstance(each, Text) else Text(printable(each)) for each in row] for row in rows]
    fresh = (each.copy() if isinstance(each, Column) else each for each in columns)  # a column keeps its cells
    table = Table(*fresh, title=Text(printable(title), "table.title") if title else None)
    if not frame:
        table.box, table.pad_edge, table.padding = None, False, (0, 2, 0, 0)
    for column in table.columns:
        column.overflow = "fold"
    for row in shown:
        table.add_row(*row)
    out = console()
    # Names are there to be typed again: a narrow terminal may break the lines, but no name is cut short.
    whole = [
        max((row[at].cell_len for row in shown), default=0) if column.no_wrap else _NARROWEST
        for at, column in enumerate(table.columns)
    ]
    out.width = max(out.width, sum(whole) + 4 * len(whole))
    out.print(table)


def _write(line: str, *, error: bool) -> None:
    """Print UTF-8 whatever the locale: names are in every script."""
    stream = sys.stderr if error else sys.stdout
    stream.flush()
    stream.buffer.write(line.encode() + b"\n")
    stream.buffer.flush()
