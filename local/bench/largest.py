"""The largest response that is accepted, through the whole callback, against what template.yml gives the function.

Memory: the peak of the process against memorySize. Time: its CPU, at the share of a core that the template asks for,
against the timeout. Waiting for MPS and OSS comes on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import yaml

from local.bench import inputs
from local.bench.cold import cloud
from local.bench.measuring import Line, single
from local.bench.target import ROOT, Target

JOB_ID = "largest"
VIDEO, OCR = 34, 85  # MB, which JSON written as text makes 133: just below MAX_RESULT_BYTES
EVENT = orjson.dumps({"Type": "smarttag", "JobId": JOB_ID, "State": "Success", "UserData": ""}).decode()


def measure(target: Target, folder: Path, scale: float) -> Iterator[Line]:
    """Yield the lines; a response ``scale`` times as large is published to ``folder``."""
    response = inputs.envelope({"VideoLabel": inputs.video(VIDEO * scale), "OCR": inputs.ocr(OCR * scale)})
    what = f"a callback on a response of {len(response) / 1e6:.3g} MB"
    with cloud(target, folder, {JOB_ID: response}) as started:
        del response
        sample = started.callback(event=EVENT)
    given = yaml.safe_load((ROOT / "template.yml").read_text())["resources"]["callback"]["props"]
    memory, seconds = given["memorySize"] * 2**20, sample.seconds / given["cpu"]
    detail = f"{sample.peak / 1e6:,.0f} MB / {memory / 1e6:,.0f} MB"
    yield single("largest-peak", f"peak of {what} / memorySize", sample.peak / memory, detail, str(target))
    detail = f"{sample.seconds:.1f} s at {given['cpu']} CPU / {given['timeout']} s"
    yield single("largest-time", f"time of {what} / timeout", seconds / given["timeout"], detail, str(target))
