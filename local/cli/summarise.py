"""``smarttag summarise``: the parsing core alone, on files; no cloud, no settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import track

from local.cli.files import write_below
from local.cli.printing import console as terminal
from local.cli.printing import printable, say, say_json
from shared.errors import RelayError
from shared.smarttag import Summary, analyse, make_artifacts
from shared.smarttag import summarise as summarise_response

_STDIN = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one response: a summary, or the reason there is none."""

    source: str
    summary: Summary | None = None
    folder: Path | None = None
    error: str = ""

    def told(self) -> str:
        """Return a line about the files that the summary was written into."""
        summary = self.summary
        if summary is None:
            return self.error
        length = summary.media.durationMs
        parts = [summary.status] + ([] if length is None else [f"{length / 1000:.3f} s"])
        lists = {
            "persons": summary.persons,
            "tags": summary.tags,
            "alerts": summary.alerts,
            "warnings": summary.warnings,
        }
        parts += [f"{len(things)} {name if len(things) > 1 else name[:-1]}" for name, things in lists.items() if things]
        return f"{self.folder}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Return what a script is told."""
        summary = None if self.summary is None else orjson.loads(self.summary.to_json())
        folder = None if self.folder is None else str(self.folder)
        error = self.error or None
        told = {"source": self.source, "output": folder, "error": error}
        # A file's name may be no text; what cannot be encoded becomes a question mark.
        plain = {key: value and value.encode("utf-8", "replace").decode() for key, value in told.items()}
        return {**plain, "summary": summary}


def find(responses: list[str]) -> list[str]:
    """Return the files that paths, folders and patterns mean, each once, in order; ``-`` is standard input."""
    found: dict[str, None] = {}
    for given in responses:
        if given and Path(given).is_dir():  # nothing is not the current folder
            names = sorted(str(path) for path in Path(given).glob("*.json"))
        elif given == _STDIN or (given and Path(given).exists()):
            names = [given]
        else:
            names = sorted(filter(os.path.isfile, glob(given, recursive=True)))  # noqa: PTH207 - patterns may be absolute
        if not names:
            raise typer.BadParameter(f"{printable(given)}: no such file, and no pattern or folder with JSON files")
        found |= dict.fromkeys(names)
    return list(found)


def run(sources: list[str], output: Path | None) -> Iterator[Outcome]:
    """Summarise each source; under ``output`` its files go into a folder of its name. A bad one stops no other."""
    taken: set[Path] = set()
    for source in sources:
        name = _name(source)
        try:
            response = sys.stdin.buffer.read() if source == _STDIN else Path(source).read_bytes()
            if output is None:
                yield Outcome(source, summarise_response(response, name))
            elif (folder := output / name) in taken:
                yield Outcome(source, error=f"{folder} already holds the files of another response of this name")
            else:
                taken.add(folder)
                yield Outcome(source, _write(response, output, name), folder)
        except (RelayError, OSError) as error:
            yield Outcome(source, error=str(error))


def progressing(sources: list[str], output: Path | None, console: Console) -> Iterator[Outcome]:
    """Summarise the sources; of several, a terminal shows how far they are."""
    hidden = len(sources) == 1 or not console.is_terminal
    yield from track(run(sources, output), "Summarising", len(sources), console=console, disable=hidden)


def _name(source: str) -> str:
    """Return what stands for the job ID: a file's name, or in ``jobs/<jobId>/response.json`` the folder's."""
    path = Path(source)
    name = path.absolute().parent.name if path.name == "response.json" else path.stem
    if name in {"", ".", ".."}:  # the stem of ...json leads out of the output folder
        name = "response"
    return "stdin" if source == _STDIN else name.encode("utf-8", "replace").decode()


def _write(response: bytes, output: Path, name: str) -> Summary:
    analysis = analyse(response, name)
    for artifact in make_artifacts(analysis):
        write_below(output, f"{name}/{artifact.name}", artifact.body)
    return analysis.summary


def summarise(
    responses: Annotated[
        list[str], typer.Argument(help="Responses of QuerySmarttagJob: files, folders, patterns, or -.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write summary, report and the rest here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Print the summaries of raw responses, or write all files of each; its name stands for the job ID it lacks.

    For a file called response.json, as a job leaves it behind, that is the name of its folder.
    """
    sources = find(responses)
    console = terminal(error=True)
    failed = False
    for outcome in progressing(sources, output, console):
        failed = failed or bool(outcome.error)
        if outcome.error:
            line = printable(f"smarttag: {outcome.source}: {outcome.error}")
            console.print(line, soft_wrap=True)  # above the bar that shows how far it is
        if as_json:
            say_json(outcome.to_json())
        elif outcome.folder is not None:
            say(outcome.told())
        elif outcome.summary is not None:
            say_json(orjson.loads(outcome.summary.to_json()), indent=2)
    if failed:
        raise typer.Exit(1)
