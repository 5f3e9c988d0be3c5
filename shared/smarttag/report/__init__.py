"""report.html: one self-contained page without script that an editor can read, print and pass on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from shared.smarttag.model import Analysis
from shared.smarttag.report import geometry, labels, times, view
from shared.smarttag.report.bounds import Limits, visible
from shared.smarttag.report.entries import alert_lines, entries
from shared.smarttag.report.timeline import timeline

if TYPE_CHECKING:
    import jinja2

MAX_BYTES = 1_500_000
_HERE = Path(__file__).parent
_COMPILED = "compiled"  # exists in the deployable package only


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


def precompile(package: Path) -> None:
    """Write the template as Python beside its source in the copy of ``shared`` under ``package``.

    A fresh process then spends nothing on parsing it, which takes longer than everything else here.
    """
    folder = package / _HERE.relative_to(Path(__file__).parents[3])
    environment = _environment(compiled=False)
    environment.compile_templates(folder / _COMPILED, extensions=["j2", "css"], zip=None, ignore_errors=False)


@functools.cache
def _template() -> jinja2.Template:
    return _environment(compiled=(_HERE / _COMPILED).is_dir()).get_template("report.html.j2")


def _environment(*, compiled: bool) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ModuleLoader(_HERE / _COMPILED) if compiled else jinja2.FileSystemLoader(_HERE),
    )
    environment.filters |= {
        "about": times.about,
        "clock": times.clock,
        "iso": times.iso,
        "lasting": times.length,
        "vendor_link": view.vendor_link,
    }
    return environment
