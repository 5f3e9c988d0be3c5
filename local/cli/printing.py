"""The one way to the terminal. Text that others wrote is shown, and neither obeyed nor read as markup.

Names, reasons and answers come from the vendor, from receivers, from the bucket and from file names. What a terminal
would act on (ANSI sequences, C0 and C1 controls), what changes the order in which text is read (bidirectional controls)
and what nobody can see is written as JSON escapes it, so that JSON stays what it was.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EBADF
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from shared.errors import RelayError

if TYPE_CHECKING:
    from shared.relay import Relay

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # categories of Unicode's character database
_MANY = 50  # of what takes a moment each, that a bar is shown for
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
    if isinstance(table.title, Text):  # a file's name, say: as little broken as any other
        table.min_width = table.title.cell_len
    if not frame:
        table.box, table.pad_edge, table.padding = None, False, (0, 2, 0, 0)
    for column in table.columns:
        column.overflow = "fold"
    for row in shown:
        table.add_row(*row)
    out = console()
    # Names are there to be typed again: none is cut short or broken, however narrow the terminal is.
    whole = [
        max((row[at].cell_len for row in shown), default=0) if column.no_wrap else _NARROWEST
        for at, column in enumerate(table.columns)
    ]
    if sum(whole) + 4 * len(whole) <= out.width:
        out.print(table)
        return
    for first, *others in shown:
        out.print(first, style="bold", soft_wrap=True)
        for column, cell in zip(table.columns[1:], others, strict=True):
            if cell:
                label = Text(f"{column.header}: ", "dim")
                out.print(Padding(label + cell, (0, 0, 0, 2)), soft_wrap=column.no_wrap)
    if table.title:
        out.print(table.title)


def counted(number: int, thing: str) -> str:
    """Return how many there are of a thing, for people."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], object]]:
    """Show a bar on a terminal, on standard error, where there is much to do; call what is yielded after each."""
    shown = console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=total < _MANY or not shown.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


def warn_if_empty(at_hand: Relay) -> None:
    """Say so where nothing was ever stored: nobody would look for a fault in OUTPUT_URL."""
    with suppress(RelayError):  # what was asked for has been said
        if next(iter(at_hand.store.list("")), None) is None:
            say(f"smarttag: nothing was ever stored at {at_hand.settings.output.url}: is OUTPUT_URL right?", error=True)


def _write(line: str, *, error: bool) -> None:
    """Print UTF-8 whatever the locale: names are in every script."""
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # closed before the start, as >&- does
        raise OSError(EBADF, os.strerror(EBADF))
    stream.flush()
    stream.buffer.write(line.encode() + b"\n")
    stream.buffer.flush()
