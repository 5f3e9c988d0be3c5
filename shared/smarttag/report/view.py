"""What the report calls the media, and what it shows of its words and links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import orjson

from shared.patterns import regex
from shared.smarttag.model import Link, ScreenTextItem, Segment, Summary
from shared.smarttag.report.bounds import Capped, Limits, cap

LONG_TITLE = 60  # characters that stand in three lines on a phone
LONG_NAME = 24  # characters that stand in two lines beside the bars
FOLD = 60  # lines of speech or text, and
FOLD_ALERTS = 12  # alerts, beyond which a list is folded
_SIGNED_FIELDS = 40
_DIGITS = regex("[0-9]{1,12}")


def headline(summary: Summary) -> str:
    """Return what to call this media: its title, else its user data, else who or what is in it, else its job."""
    named = [p.name for p in summary.persons if p.category != "unknown"]
    about = [c for one in summary.classifications[:1] for c in (one.category1, one.category2) if c]
    choices = (summary.title or "", user_data(summary.userData), who(named), " · ".join(about))
    return next((choice for choice in choices if choice.strip()), f"作业 {summary.jobId}")


def who(names: Sequence[str]) -> str:
    """Return names as a headline: three of them, and a sign that there are more."""
    return "、".join(names[:3]) + (" 等" if len(names) > 3 else "")  # noqa: PLR2004 - as many as a headline holds


def user_data(text: str) -> str:
    """Return user data as a headline: a flat JSON object as its fields, anything else as it is."""
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(fields, dict) or not all(type(value) in (str, int, float) for value in fields.values()):
        return text
    return " · ".join(f"{key}: {value}" for key, value in fields.items())


def speech(segments: Sequence[Segment], limits: Limits) -> Capped[Segment]:
    """Return as many segments as may be shown, by count and by characters."""
    room, shown = limits.speech, 0
    for segment in segments[: limits.segments]:
        room -= min(len(segment.text), limits.text)
        if room < 0:
            break
        shown += 1
    return cap(segments, shown)


def by_time(items: Sequence[ScreenTextItem], limit: int) -> Capped[ScreenTextItem]:
    """Return the ``limit`` most often seen texts in order of their first sight, to stand beside the speech."""
    most = sorted(items, key=lambda item: -item.count)[:limit]
    return Capped(tuple(sorted(most, key=lambda item: item.firstMs)), max(0, len(items) - limit))


@dataclass(frozen=True, slots=True)
class VendorLink:
    """A link of MPS; ``shown`` is its address without what may be a signature, ``until`` when that ends."""

    type: str
    name: str
    shown: str
    href: str  # empty for what must not become a link
    until: str


def vendor_link(link: Link) -> VendorLink:
    """Return how a link is shown."""
    address, mark, query = link.url.partition("?")
    return VendorLink(link.type, link.name, address + ("?…" if mark else ""), _href(link.url), _until(query))


def _href(url: str) -> str:
    """Return ``url`` if it may become a link: http or https, without blanks or control characters."""
    return url if re.fullmatch(r"https?://[^\s\x00-\x20\x7f]{1,2000}", url, re.IGNORECASE) else ""


def _until(query: str) -> str:
    """Return when the signature of an OSS URL ends: V1 says the moment, V4 its own moment and for how many seconds."""
    try:
        fields = {name.lower(): value for name, value in parse_qsl(query, max_num_fields=_SIGNED_FIELDS)}
        seconds = next(int(v) for k, v in fields.items() if k in ("expires", "x-oss-expires") and _DIGITS.fullmatch(v))
        start = datetime.strptime(fields.get("x-oss-date", "19700101T000000Z"), "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - UTC
        return f"{start + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, StopIteration):
        return ""
