"""Moments as people read and write them: in the time zone of this machine, or in UTC where that is asked for."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

_AGO = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Utc = Annotated[bool, typer.Option("--utc", help="Read and show times in UTC, not in the time zone of this machine.")]
Since = Annotated[
    str, typer.Option(metavar="TIME", help="From then on: 2026-11-26, 2026-11-26T08:30, or 2h, 3d (ago).")
]
Until = Annotated[str, typer.Option(metavar="TIME", help="Before then; as --since.")]


def moment(text: str, *, utc: bool) -> int:
    """Return a time in milliseconds since 1970: a date, ISO 8601 with or without an offset, or so long ago."""
    try:
        if ago := _AGO.fullmatch(text):
            when = datetime.now(timezone.utc) - timedelta(**{_UNITS[ago["unit"]]: int(ago["count"])})
        else:
            when = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc) if utc else when.astimezone()
    except (ValueError, OverflowError):  # too long ago is no time either
        raise typer.BadParameter(f"{text[:40]!a} is no time; say 2026-11-26T08:30, or 2h for two hours ago") from None
    return int(when.timestamp() * 1000)


def shown(text: str, *, utc: bool) -> str:
    """Return a stored time (ISO 8601, UTC) for people, to the second; as it is if it is none."""
    try:
        when = datetime.fromisoformat(re.sub("Z$", "+00:00", text))
        when = when.astimezone(timezone.utc if utc else None)
    except (ValueError, OverflowError):
        return text[:19].replace("T", " ")
    return when.strftime("%Y-%m-%d %H:%M:%S")


def zone(*, utc: bool) -> str:
    """Return the name of the time zone that is shown."""
    return "UTC" if utc else datetime.now().astimezone().strftime("UTC%z")
