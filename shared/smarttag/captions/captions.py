"""Subtitles and transcript from speech segments: WebVTT, SubRip and plain text, all UTF-8.

A cue has two lines of 32 columns at most (16 Chinese characters) and is long enough to be seen. Longer text becomes
several cues, which share the time; speech too short to be seen is shown longer, or together with the next. The rules
are in docs/captions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from shared.patterns import regex
from shared.smarttag.captions.line_breaks import wrap
from shared.smarttag.captions.signs import display_width, is_blank
from shared.smarttag.model import Segment

LINES_PER_CUE = 2
SEEN_MS = 200  # of a cue at least: five frames at 25 a second
UNHURRIED_MS = 1000  # of a cue whose speech is shorter than that, unless the next speech starts earlier

_LINE_ENDS = regex("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_BLANKS = regex("[ \t\u200b]+")
_WHITE = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u3000"
_DIGITS_ALONE = regex("\n(?=[0-9０-９]+$)", re.MULTILINE)
_SURROGATES = regex("[\ud800-\udfff]")
# Controls, soft hyphens, byte order marks, and what reverses the direction of text: none can be seen, all can mislead.
_UNSEEN = regex(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
# What SubRip players obey although the format has no such thing, and the look-alikes that they do not: tags, overrides,
# escapes, entities, and two times in a line. Each takes as many columns as line_breaks counts for what it stands for.
_LOOK_ALIKES = str.maketrans({"<": "＜", "{": "｛", "\\": "＼"})
_ARROW = regex("-+->")
_ENTITY = regex("&(?=#?[0-9A-Za-z]+;)")
_CLOCK_TIME = regex("[0-9]+:[0-9]+:[0-9]+(?=[.,][0-9])")


@dataclass(frozen=True, slots=True)
class _Cue:
    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Speech:
    """What is shown in one go: a segment, or several that are joined."""

    start: int
    end: int
    lines: list[str]

    @property
    def cues(self) -> int:
        return -(-len(self.lines) // LINES_PER_CUE)

    def is_seen_by(self, end: int) -> bool:
        """Tell whether each of its cues is long enough if they end at ``end``."""
        return end - self.start >= SEEN_MS * self.cues


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
        text = _ARROW.sub("→", "\n".join(cue.lines)).translate(_LOOK_ALIKES)
        text = _CLOCK_TIME.sub(lambda time: time[0].replace(":", "∶"), _ENTITY.sub("＆", text))
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks).encode()


def transcript(segments: Iterable[Segment]) -> bytes:
    """Return ``transcript.txt``: per segment one line, ``[HH:MM:SS] text``, the second being the one it starts in."""
    lines = ((start, text.replace("\n", " ").replace("\u200b", "")) for start, _, text in _spoken(segments))
    return "".join(f"[{_clock(start, '.')[:-4]}] {text}\n" for start, text in lines).encode()


def _spoken(segments: Iterable[Segment]) -> list[tuple[int, int, str]]:
    """Return (start, end, clean text) in order of time, leaving out segments in which nothing can be read."""
    cleaned = [(max(0, segment.fromMs), segment.toMs, _clean(segment.text)) for segment in segments]
    return sorted((entry for entry in cleaned if entry[2]), key=lambda entry: entry[:2])


def _cues(segments: Iterable[Segment]) -> list[_Cue]:
    """Return cues as players order them: by start, of one start the longest first."""
    speeches = _join(_spoken(segments))
    starts = [speech.start for speech in speeches[1:]]
    cues = []
    for at, speech in enumerate(speeches):
        end = speech.end
        if not speech.is_seen_by(end):
            end = max(end, min([speech.start + UNHURRIED_MS * speech.cues, *starts[at : at + 1]]))
        cues += _share(speech.start, end, speech.lines)
    return sorted(cues, key=lambda cue: (cue.start, -cue.end))


def _join(spoken: list[tuple[int, int, str]]) -> list[_Speech]:
    """Join what starts at the same moment, and what cannot be seen in the time until the next starts with that."""
    speeches: list[_Speech] = []
    for start, end, text in spoken:
        before = speeches[-1] if speeches else None
        if before and (before.start == start or not before.is_seen_by(max(before.end, start))):
            before.end = max(before.end, end)
            before.lines[-1:] = _wrap(f"{before.lines[-1]} {text}")
        else:
            speeches.append(_Speech(start, end, _wrap(text)))
    return speeches


def _wrap(text: str) -> list[str]:
    return [line for part in text.split("\n") for line in wrap(part)]


def _share(start: int, end: int, lines: list[str]) -> list[_Cue]:
    """Cut lines into cues of two: each is long enough to be seen, and the rest of the time is shared by width."""
    pages = [tuple(lines[at : at + LINES_PER_CUE]) for at in range(0, len(lines), LINES_PER_CUE)]
    spare = end - start - SEEN_MS * len(pages)
    shares = [0, *accumulate(max(1, sum(map(display_width, page))) for page in pages)]
    cuts = [start + SEEN_MS * page + spare * share // shares[-1] for page, share in enumerate(shares)]
    return [_Cue(cuts[page], cuts[page + 1], lines) for page, lines in enumerate(pages)]


def _clean(text: str) -> str:
    """Keep what can be seen: one newline per line break, one space per blank, no controls.

    Zero-width spaces stay until the lines are broken. A line of nothing but digits, which some readers take for the
    number of the next cue, becomes part of the line before.
    """
    seen = _UNSEEN.sub("", _LINE_ENDS.sub("\n", _SURROGATES.sub("\ufffd", text)))
    lines = (_BLANKS.sub(_one_blank, line).strip(_WHITE) for line in seen.split("\n"))
    return _DIGITS_ALONE.sub(" ", "\n".join(line for line in lines if not is_blank(line)))


def _one_blank(run: re.Match[str]) -> str:
    return "\u200b" if run[0].strip("\u200b") == "" else " "


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
