"""Make the pictures of the documentation anew; needs Chromium and Playwright.

``python -m local.packaging.pictures [FOLDER]``
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local.cloud.world import TOKEN, world
from local.recorded import SHOWN, jobs
from shared.smarttag import analyse, make_artifacts

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
# name: recorded job, width and height of the screen, pixels per CSS pixel, scheme
PICTURES = {
    "report-wide": (SHOWN, 1280, 1500, 1, "light"),
    "report-phone-dark": (SHOWN, 390, 1500, 1.5, "dark"),
}


# name: language; of the library as the local cloud has it
LIBRARY = {"library-en": "en-US", "library-zh": "zh-CN"}
SHELF = ("fail", "nlp", "asr", "meta", "image", "documented", SHOWN)  # the newest last


def main(folder: Path) -> None:
    """Photograph the reports of recorded jobs, and the library of all of them, into ``folder``."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (job, width, height, ratio, scheme) in PICTURES.items():
            recorded = jobs()[job]
            artifacts = make_artifacts(analyse(recorded.response, recorded.job_id), ("response.json", "manifest.json"))
            page_file = Path(scratch) / f"{name}.html"
            page_file.write_bytes(next(a.body for a in artifacts if a.name == "report.html"))
            page = browser.new_page(
                viewport={"width": width, "height": height},
                device_scale_factor=ratio,
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(page_file.as_uri())
            _photograph(page, folder / f"{name}.png")
        with _library(Path(scratch) / "cloud") as url:
            for name, language in LIBRARY.items():
                page = browser.new_page(viewport={"width": 1280, "height": 710}, locale=language)
                page.goto(url)
                page.get_by_label("API").fill(TOKEN)
                page.get_by_role("button").click()
                _photograph(page, folder / f"{name}.png")
        browser.close()


@contextmanager
def _library(folder: Path) -> Iterator[str]:
    recordings = [jobs()[name] for name in SHELF]
    with world(folder, {job.job_id: job.response for job in recordings}, sweep_seconds=3600) as cloud:
        for job in recordings:
            cloud.notify(job.job_id, "Success")
            cloud.settle()  # one after the other: the library shows them in this order
        yield cloud.http.url


def _photograph(page: Page, picture: Path) -> None:
    page.screenshot(path=picture)
    print(f"{picture} {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
