"""``smarttag markers``: who and what was seen, as markers that editing programs import; made by OpenTimelineIO."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from local.cli.files import write_below
from local.cli.printing import say
from local.responses import fault, job_id_of
from shared.errors import BadInput, BadResponse
from shared.jobs import JOB_ID_RULE, RESPONSE, artifact_key, is_job_id
from shared.relay import relay
from shared.smarttag import Summary, summarise

if TYPE_CHECKING:
    from opentimelineio.schema import Timeline

_UNPRINTABLE = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")  # XML and EDL cannot hold them


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames a second, exactly, and whether its timecode drops frames to keep with the clock."""

    exact: Fraction
    drop_frame: bool = False

    @property
    def frame_duration(self) -> str:
        """As FCPXML writes it."""
        return f"{self.exact.denominator}/{self.exact.numerator}s"

    @property
    def counted(self) -> float:
        """What timecode counts in: without drop frame, 29.97 frames a second are numbered as 30 are."""
        return float(self.exact) if self.drop_frame else round(self.exact)

    def frames(self, ms: int) -> int:
        """Return the nearest frame."""
        return round(ms * self.exact / 1000)


_NTSC = {"23.976": 24, "29.97": 30, "59.94": 60}
RATES = {
    **{str(rate): FrameRate(Fraction(rate)) for rate in (24, 25, 30, 50, 60)},
    **{name: FrameRate(Fraction(rate * 1000, 1001)) for name, rate in _NTSC.items()},
    **{f"{name}df": FrameRate(Fraction(_NTSC[name] * 1000, 1001), drop_frame=True) for name in ("29.97", "59.94")},
}


class Format(str, Enum):
    """What is written: Final Cut Pro's XML, that of its forerunner (Premiere, Resolve), or an edit decision list."""

    FCPXML = "fcpxml"
    FCP7 = "fcp7"
    EDL = "edl"


_SUFFIX = {Format.FCPXML: ".fcpxml", Format.FCP7: ".xml", Format.EDL: ".edl"}


@dataclass(frozen=True, slots=True)
class Mark:
    """One appearance: what is written beside it, when, and whether somebody should look."""

    name: str
    from_ms: int
    to_ms: int
    sensitive: bool = False


def marks(summary: Summary) -> list[Mark]:
    """Return every appearance of persons, tags and concepts, and every chapter, in order of time; each has a name."""
    found = [Mark(_name(p.name, "face"), *span, p.sensitive) for p in summary.persons for span in p.appearances]
    found += [Mark(_name(tag.name, tag.group, "tag"), *span) for tag in summary.tags for span in tag.appearances]
    found += [Mark(_name(one.name, one.kind), *span) for one in summary.concepts for span in one.appearances]
    found += [
        Mark(_name(chapter.headline, f"chapter {number}"), chapter.startMs, chapter.endMs)
        for number, chapter in enumerate(summary.chapters, 1)
    ]
    return sorted(found, key=lambda mark: (mark.from_ms, mark.to_ms, mark.name))


def write(summary: Summary, rate: FrameRate, kind: Format, media: str) -> bytes:
    """Return one file: a timeline with one clip, ``media``, that carries the markers; they lie on the nearest frame.

    Raises:
        BadInput: nothing in the summary has a time.
    """
    from opentimelineio.adapters import write_to_string

    if not marks(summary):
        raise BadInput(
            f"{summary.jobId}: nothing was seen that has a time, so there are no markers to make", jobId=summary.jobId
        )
    if kind is Format.FCPXML:
        text: str = write_to_string(_timeline(summary, float(rate.exact), rate, media), "fcpx_xml")
        clock = "DF" if rate.drop_frame else "NDF"
        # The adapter knows the frame durations of whole rates only, and no kind of timecode.
        text = re.sub('frameDuration="[^"]*"', f'frameDuration="{rate.frame_duration}"', text)
        text = text.replace("<sequence ", f'<sequence tcStart="0s" tcFormat="{clock}" ')
    elif kind is Format.FCP7:
        text = write_to_string(_timeline(summary, float(rate.exact), rate, media), "fcp_xml")
        if rate.drop_frame:
            text = text.replace("<displayformat>NDF<", "<displayformat>DF<").replace(">00:00:00:00<", ">00:00:00;00<")
    else:
        timeline = _timeline(summary, rate.counted, rate, media)
        text = write_to_string(timeline, "cmx_3600", rate=rate.counted)
        text = text.replace("\n", f"\nFCM: {'' if rate.drop_frame else 'NON-'}DROP FRAME\n", 1)
    return text.encode()


def _timeline(summary: Summary, counted: float, rate: FrameRate, media: str) -> Timeline:
    """Return the timeline in frames of which there are ``counted`` a second. Two formats drop markers beside a clip."""
    import opentimelineio as otio
    from opentimelineio.opentime import RationalTime, TimeRange
    from opentimelineio.schema import MarkerColor

    def frames(start: int, count: int) -> TimeRange:
        return TimeRange(RationalTime(start, counted), RationalTime(count, counted))

    found = marks(summary)
    last = max(summary.media.durationMs or 0, *(mark.to_ms for mark in found))
    whole = frames(0, rate.frames(last) + 1)
    title = _printable(summary.title or summary.jobId)
    clip = otio.schema.Clip(title, otio.schema.ExternalReference(f"file:///{quote(media)}", whole), whole)
    for mark in found:
        start = rate.frames(mark.from_ms)
        span = frames(start, max(1, rate.frames(mark.to_ms) - start))
        color = MarkerColor.RED if mark.sensitive else MarkerColor.BLUE
        clip.markers.append(otio.schema.Marker(mark.name, span, color))
    timeline = otio.schema.Timeline(title, global_start_time=RationalTime(0, counted))
    timeline.tracks.append(otio.schema.Track("V1", [clip], kind=otio.schema.TrackKind.Video))
    return timeline


def _name(*choices: str) -> str:
    return next(filter(None, map(_printable, choices)), "")


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()


def _save(source: str, output: Path | None, files: Iterator[tuple[str, bytes]]) -> Iterator[str]:
    """Write beside the file, or into the store beside the job, unless a folder is named; yield where."""
    beside = output is None and Path(source).is_file()
    for name, body in files:
        below = f"markers/{name}" if beside else name
        folder = Path(source).parent if beside else output
        if folder is None:
            key = artifact_key(source, f"markers/{name}")
            relay(os.environ).store.put(key, body, "application/octet-stream")
            yield key
        else:
            write_below(folder, below, body)
            yield str(folder / below)


def _read(source: str) -> Summary:
    path = Path(source)
    if not path.is_file():
        if not is_job_id(source):
            raise BadInput(f"{source} is no file, and no job ID, which is {JOB_ID_RULE}", file=source)
        return summarise(relay(os.environ).stored(source, RESPONSE), source)
    try:
        return summarise(path.read_bytes(), job_id_of(path))
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}", file=source) from error
    except BadResponse as error:
        raise BadInput(f"{source}: {fault(error)}", file=source) from error


def markers(
    source: Annotated[
        str, typer.Argument(metavar="JOB|FILE", help="A published job (needs OUTPUT_URL), or a file with its response.")
    ],
    fps: Annotated[str, typer.Option(help=f"Frames a second of the media: {', '.join(RATES)}.")],
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="One of them; repeat for several. All by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; else markers/ beside the response.")
    ] = None,
    media: Annotated[str | None, typer.Option(help="Name of the media file, for the program to find it.")] = None,
) -> None:
    """Write who and what was seen as markers for editing programs: FCPXML, FCP7 XML and EDL."""
    if fps not in RATES:
        raise typer.BadParameter(f"{fps} is none of {', '.join(RATES)}", param_hint="--fps")
    summary = _read(source)
    name = summary.jobId
    files = (
        (name + _SUFFIX[kind], write(summary, RATES[fps], kind, media or f"{name}.mp4")) for kind in formats or Format
    )
    for place in _save(source, output, files):
        say(f"{place}: {len(marks(summary))} markers")
