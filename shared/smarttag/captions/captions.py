"""Subtitles and transcript from speech segments: WebVTT, SubRip and plain text, all UTF-8.

A cue keeps its segment's times to the millisecond. Text that fills more than two lines of 32 columns (16 Chinese
characters) becomes several cues, which share the time by width. The rules are in docs/captions.md.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from shared.smarttag.captions.line_breaks import display_width, is_blank, wrap
from shared.smarttag.model import Segment

LINES_PER_CUE = 2
SHORTEST_MS = 1000  # of a cue whose segment has no length of its own, unless the next one starts earlier

_LINE_ENDS = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_BLANKS = re.compile("[ \t]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Controls, byte order marks, and what reverses the direction of text: none can be seen, all can mislead.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
)


@dataclass(frozen=True, slots=True)
class _Cue:
    start: int
    end: int
    lines: tuple[str, ...]


def vtt(segments: Iterable[Segment]) -> bytes:
    """Return ``subtitles.vtt``; cue identifiers count from 1."""
    blocks = ["WEBVTT\n"]
    for number, cue in enumerate(_cues(segments), 1):
        text = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{number}\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks).encode()


def srt(segments: Iterable[Segment]) -> bytes:
    """Return ``subtitles.srt``; the format has no escape, so what a player would obey is replaced by its look-alike."""
    blocks = []
    for number, cue in enumerate(_cues(segments), 1):
        text = "\n".join(cue.lines).replace("-->", "→").replace("<", "＜").replace("{", "｛")
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks).encode()


def transcript(segments: Iterable[Segment]) -> bytes:
    """Return ``transcript.txt``: per segment one line, ``[HH:MM:SS] text``, the second being the one it starts in."""
    lines = ((start, text.replace("\n", " ")) for start, _, text in _spoken(segments))
    return "".join(f"[{_clock(start, '.')[:-4]}] {text}\n" for start, text in lines).encode()


def _spoken(segments: Iterable[Segment]) -> list[tuple[int, int, str]]:
    """Return (start, end, clean text) by start, leaving out segments in which nothing can be read."""
    cleaned = [(max(0, segment.fromMs), segment.toMs, _clean(segment.text)) for segment in segments]
    return sorted((entry for entry in cleaned if entry[2]), key=lambda entry: entry[0])


def _cues(segments: Iterable[Segment]) -> list[_Cue]:
    spoken = _spoken(segments)
    starts = [start for start, _, _ in spoken]
    cues = []
    for start, to, text in spoken:
        end = to
        if end <= start:
            later = bisect_right(starts, start)
            end = min([start + SHORTEST_MS, *starts[later : later + 1]])
        cues += _share(start, end, [line for part in text.split("\n") for line in wrap(part)])
    return sorted(cues, key=lambda cue: cue.start)


def _share(start: int, end: int, lines: list[str]) -> list[_Cue]:
    """Cut lines into cues of two, each as long as its share of the width; at least a millisecond, or not cut at all."""
    pages = [tuple(lines[at : at + LINES_PER_CUE]) for at in range(0, len(lines), LINES_PER_CUE)]
    spare = end - start - len(pages)
    if spare < 0:
        return [_Cue(start, end, tuple(lines))]
    shares = [0, *accumulate(max(1, sum(map(display_width, page))) for page in pages)]
    cuts = [start + page + spare * share // shares[-1] for page, share in enumerate(shares)]
    return [_Cue(cuts[page], cuts[page + 1], lines) for page, lines in enumerate(pages)]


def _clean(text: str) -> str:
    """Keep what can be seen: one newline per line break, one space per blank, no controls."""
    seen = _UNSEEN.sub("", _LINE_ENDS.sub("\n", _SURROGATES.sub("\ufffd", text)))
    lines = (_BLANKS.sub(" ", line).strip() for line in seen.split("\n"))
    return "\n".join(line for line in lines if not is_blank(line))


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
