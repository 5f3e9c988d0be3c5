"""report.html: one self-contained page without script that an editor can read, print and pass on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.smarttag.model import Analysis
from shared.smarttag.report import geometry, labels, times, view
from shared.smarttag.report.bounds import Limits, visible
from shared.smarttag.report.entries import alert_lines, entries
from shared.smarttag.report.timeline import timeline
from shared.templates import environment

if TYPE_CHECKING:
    import jinja2

MAX_BYTES = 1_500_000
FOLDER = Path(__file__).parent
FILTERS: Mapping[str, Callable[..., Any]] = {
    "about": times.about,
    "clock": times.clock,
    "iso": times.iso,
    "lasting": times.length,
    "vendor_link": view.vendor_link,
}


def render(analysis: Analysis, artifact_names: tuple[str, ...] = ()) -> bytes:
    """Return the report as UTF-8 HTML, the same bytes for the same analysis, at most ``MAX_BYTES`` long.

    Args:
        analysis: everything read from one response.
        artifact_names: files lying beside the report, to be linked.
    """
    for strictness in (1, 2, 4, 16, 64, 256):
        page = _page(analysis, artifact_names, Limits().divided(strictness))
        if len(page) <= MAX_BYTES:
            break
    return page


def _page(analysis: Analysis, artifact_names: tuple[str, ...], limits: Limits) -> bytes:
    found = entries(analysis.summary)
    drawn = timeline(analysis, found, limits)
    text = _template().render(
        view=view,
        geometry=geometry,
        labels=labels,
        visible=visible,
        limits=limits,
        summary=analysis.summary,
        segments=None if analysis.segments is None else view.speech(analysis.segments, limits),
        timeline=drawn,
        alerts=alert_lines(analysis.summary, found, drawn.anchors()),
        artifacts=[name for name in artifact_names if name != "report.html"],
    )
    return text.encode("utf-8", "replace")


@functools.cache
def _template() -> jinja2.Template:
    return environment(FILTERS, FOLDER).get_template("report.html.j2")
