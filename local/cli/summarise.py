"""``smarttag summarise``: the parsing core alone, on files; no cloud, no settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import Progress

from local.cli.files import write_below
from local.cli.printing import console, printable, say, say_json
from local.cli.version import Version
from local.responses import fault, job_id_of
from shared.errors import BadInput, BadResponse
from shared.jobs import ARTIFACTS, MANIFEST, RESPONSE, SUMMARY
from shared.smarttag import Summary, analyse, make_artifacts
from shared.smarttag import summarise as summarise_response

_STDIN = "-"
_LAYOUT = ("*.json", f"*/{RESPONSE}", f"jobs/*/{RESPONSE}")  # in jobs/<jobId>/ or any other folder; jobs/; above it


class State(str, Enum):
    """What became of one response."""

    DONE = "done"
    SKIPPED = "skipped"  # its summary had been written before
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one response: a summary, or the reason there is none."""

    source: str
    summary: Summary | None = None
    folder: Path | None = None
    error: str = ""

    @property
    def state(self) -> State:
        """Which of the three it is."""
        return State.FAILED if self.error else State.SKIPPED if self.summary is None else State.DONE

    def told(self) -> str:
        """Return a line about the files that the summary was written into."""
        summary = self.summary
        if summary is None:
            return self.error or f"{self.folder}: skipped, it is there"
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
            names = _in_folder(Path(given))
        elif given == _STDIN or (given and Path(given).exists()):
            names = [given]
        else:
            names = sorted(filter(os.path.isfile, glob(given, recursive=True)))  # noqa: PTH207 - patterns may be absolute
        if not names:
            raise typer.BadParameter(f"{printable(given)}: no such file, and no pattern or folder with JSON files")
        found |= dict.fromkeys(names)
    return list(found)


def _in_folder(folder: Path) -> list[str]:
    """Return the responses in a folder of them, or in what jobs left behind: there, other JSON lies beside them."""
    paths = (path for pattern in _LAYOUT for path in sorted(folder.glob(pattern)))
    made = ARTIFACTS.keys() - {RESPONSE}
    return [str(path) for path in paths if path.name not in made and path.is_file()]


def run(sources: list[str], output: Path | None, *, skip_existing: bool = False) -> Iterator[Outcome]:
    """Summarise each source; under ``output`` its files go into a folder of its name. A bad one stops no other.

    Args:
        sources: files, or ``-``.
        output: a folder; nothing is written without it.
        skip_existing: leave alone what ``output`` holds a summary of, which is written last.
    """
    taken: set[Path] = set()
    for source in sources:
        name = "stdin" if source == _STDIN else job_id_of(Path(source))
        folder = None if output is None else output / name
        try:
            yield _one(source, name, folder, taken, skip_existing=skip_existing)
        except BadResponse as error:
            yield Outcome(source, error=fault(error))
        except BadInput as error:
            yield Outcome(source, error=error.message)
        except OSError as error:
            where = "" if error.filename in {None, source} else f"{error.filename}: "
            yield Outcome(source, error=f"{where}{error.strerror or error}")


def _one(source: str, name: str, folder: Path | None, taken: set[Path], *, skip_existing: bool) -> Outcome:
    if folder is not None:
        if folder in taken:
            return Outcome(source, error=f"{folder} already holds the files of another response of this name")
        taken.add(folder)
        if (folder / MANIFEST).exists():
            return Outcome(source, error=f"{folder} is a published job's; name another folder, or use smarttag rebuild")
        if skip_existing and (folder / SUMMARY).exists():
            return Outcome(source, folder=folder)
    response = sys.stdin.buffer.read() if source == _STDIN else Path(source).read_bytes()
    if folder is None:
        return Outcome(source, summarise_response(response, name))
    return Outcome(source, _write(response, name, folder), folder)


def _write(response: bytes, name: str, folder: Path) -> Summary:
    """Write the files, each whole, the summary last; remove what only an earlier run made."""
    analysis = analyse(response, name)
    bodies = {artifact.name: artifact.body for artifact in make_artifacts(analysis)}
    summary = bodies.pop(SUMMARY)
    folder.mkdir(parents=True, exist_ok=True)
    for each, body in bodies.items():
        write_below(folder.parent, f"{folder.name}/{each}", body)
    for stale in ARTIFACTS.keys() - bodies.keys() - {RESPONSE, SUMMARY}:
        (folder / stale).unlink(missing_ok=True)
    write_below(folder.parent, f"{folder.name}/{SUMMARY}", summary)
    return analysis.summary


class Screen:
    """Standard output, standard error and a progress bar that may all be one terminal."""

    def __init__(self, *, short_lines: bool) -> None:
        # A bar among whole summaries would only be scrolled away; beside a file or a pipe it disturbs nobody.
        self._bar = sys.stderr.isatty() and (short_lines or not sys.stdout.isatty())
        self._console = console(error=True)

    def track(self, outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
        """Yield the outcomes; of several, a terminal shows how far they are."""
        if total == 1 or not self._bar:
            yield from outcomes
        else:
            with Progress(console=self._console, redirect_stdout=False, redirect_stderr=False) as progress:
                yield from progress.track(outcomes, total, description="Summarising")

    def print(self, line: str, *, error: bool = False) -> None:
        """Print a line; on a terminal that shows a bar, above it."""
        stream = sys.stderr if error else sys.stdout
        if self._bar and stream.isatty():
            self._console.print(printable(line), soft_wrap=True)
        else:
            say(line, error=error)


def summarise(
    responses: Annotated[
        list[str],
        typer.Argument(help="Responses of QuerySmarttagJob: files, patterns, folders (jobs/ and jobs/ID/ too), or -."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write summary, report and the rest here.")
    ] = None,
    skip_existing: Annotated[  # noqa: FBT002 - typer's way to a flag
        bool, typer.Option("--skip-existing", help="With --output: leave alone what has its summary there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each.")] = False,  # noqa: FBT002 - as above
    version: Version = False,  # noqa: ARG001, FBT002 - it is printed before this is called
) -> None:
    """Print the summaries of raw responses, or write all files of each; its name stands for the job ID it lacks.

    For a file called response.json, as a job leaves it behind, that is the name of its folder.
    """
    if skip_existing and output is None:
        raise typer.BadParameter("needs --output: without it nothing exists", param_hint="--skip-existing")
    sources = find(responses)
    screen = Screen(short_lines=output is not None and not as_json)
    counts = dict.fromkeys(State, 0)
    for outcome in screen.track(run(sources, output, skip_existing=skip_existing), len(sources)):
        counts[outcome.state] += 1
        if outcome.error:
            screen.print(f"smarttag: {outcome.source}: {outcome.error}", error=True)
        if as_json:
            say_json(outcome.to_json())
        elif outcome.folder is not None and outcome.state is State.DONE:
            screen.print(outcome.told())
        elif outcome.summary is not None:
            say_json(orjson.loads(outcome.summary.to_json()), indent=2)
    if len(sources) > 1:
        told = (f"{count} {state.value}" for state, count in counts.items() if count or state is not State.SKIPPED)
        screen.print(", ".join(told), error=True)
    if counts[State.FAILED]:
        raise typer.Exit(1)
