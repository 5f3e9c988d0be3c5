"""What a run found: as a table, as JSON, and as a chart."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from local.bench.budgets import BUDGETS
from local.bench.measuring import Line

NAME, ROW, LEFT, SCALE, WIDTH = "bench", 26, 470, 260, 990  # pixels; SCALE is where a budget ends


@dataclass(frozen=True)
class Run:
    """One run. ``judged``: with inputs as large as real ones, so that its figures can be held against the budgets."""

    began: str
    python: str
    cores: int
    load: tuple[float, float, float]
    judged: bool
    notes: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def missed(self) -> list[Line]:
        """The lines over their budget."""
        return [line for line in self.lines if self.judged and line.key and line.value > BUDGETS[line.key].most]


def show(run: Run) -> None:
    """Print the table."""
    console = Console(width=None if os.isatty(1) else 150)
    head = f"load {' '.join(f'{each:.1f}' for each in run.load)} on {run.cores} cores at the start"
    table = Table(title=head, box=box.SIMPLE, title_justify="left")
    table.add_column("what")
    for name in ("value", "spread", "at most", "aim"):
        table.add_column(name, justify="right")
    for name in ("medians", "measured", "load", ""):
        table.add_column(name)
    for line in run.lines:
        budget = BUDGETS.get(line.key)
        limits = (_number(budget.most), _number(budget.aim)) if budget else ("", "")
        spread = f"{_number(line.low)}-{_number(line.high)}" if line.low < line.high else ""
        verdict = _verdict(run, line)
        table.add_row(
            *(line.what, _number(line.value), spread, *limits, line.detail, line.measured, f"{line.load:.1f}", verdict)
        )
    console.print(table)
    for note in run.notes:
        console.print(note, highlight=False)


def _verdict(run: Run, line: Line) -> str:
    budget = BUDGETS.get(line.key)
    if budget is None or not run.judged:
        return ""
    if line.value > budget.most:
        return "[bold red]missed[/]"
    return "[green]aim met[/]" if budget.aim is not None and line.value <= budget.aim else "[green]held[/]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".removesuffix(".00")


def save(run: Run, folder: Path) -> list[Path]:
    """Write ``bench.json`` and ``bench.svg``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [asdict(line) | {"budget": BUDGETS.get(line.key)} for line in run.lines]
    missed = [line.key for line in run.missed]
    body = orjson.dumps(asdict(run) | {"lines": lines, "missed": missed}, option=orjson.OPT_INDENT_2)
    paths = []
    for suffix, content in (("json", body), ("svg", chart(run).encode())):
        path, part = folder / f"{NAME}.{suffix}", folder / f"{NAME}.{suffix}.part"
        part.write_bytes(content)
        part.replace(path)
        paths.append(path)
    return paths


def chart(run: Run) -> str:
    """Draw each line that has a budget as a bar of its share of it, with spread, aim and budget."""
    rows = [line for line in run.lines if line.key]
    height = ROW * (len(rows) + 2)
    end = LEFT + SCALE
    drawn = [_bar(line, ROW * (number + 1)) for number, line in enumerate(rows)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
    parts = (
        f'{head} font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *drawn,
        f'<path d="M{end} {ROW - 6}V{height - ROW}" stroke="#b00020"/>',
        f'<text x="{end}" y="{height - 9}" text-anchor="middle" fill="#b00020">budget</text>',
        f'<text x="{LEFT}" y="{height - 9}" fill="#555">thin line: spread; black mark: aim</text>',
        "</svg>\n",
    )
    return "\n".join(parts)


def _bar(line: Line, top: int) -> str:
    budget = BUDGETS[line.key]
    value, low, high = (_across(each / budget.most) for each in (line.value, line.low, line.high))
    colour = "#c62828" if line.value > budget.most else "#2e7d32"
    parts = [
        f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(line.what[:76])}</text>',
        f'<rect x="{LEFT}" y="{top + 3}" width="{value - LEFT:.1f}" height="13" fill="{colour}" fill-opacity=".75"/>',
        f'<path d="M{low:.1f} {top + 9.5}H{high:.1f}" stroke="#222"/>',
        f'<text x="{max(value, high) + 6:.1f}" y="{top + 13}">{_number(line.value)} of {_number(budget.most)}</text>',
    ]
    if budget.aim is not None:
        aim = _across(budget.aim / budget.most)
        parts.append(f'<path d="M{aim:.1f} {top + 1}V{top + 18}" stroke="#000" stroke-width="2"/>')
    return "\n".join(parts)


def _across(share: float) -> float:
    """Return where a share of a budget lies; what is far over it ends before the edge."""
    return LEFT + SCALE * min(share, 1.6)
