"""The reports that several files look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.smarttag.model import Analysis
from shared.smarttag.report import render
from tests.smarttag import report_samples


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Analysis, Path]]:
    """Return every sample with the file of its report."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for name, analysis in report_samples.everything().items():
        file = folder / f"{name}.html"
        file.write_bytes(render(analysis, ("summary.json", "subtitles.vtt", "timeline.ndjson")))
        found[name] = (analysis, file)
    return found
