"""Make the pictures of the documentation anew; needs Chromium and Playwright.

``python -m local.packaging.pictures [FOLDER]``
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from local.recorded import SHOWN, jobs
from shared.smarttag import analyse, make_artifacts

ROOT = Path(__file__).parents[2]
# name: recorded job, width and height of the screen, pixels per CSS pixel, scheme
PICTURES = {
    "report-wide": (SHOWN, 1280, 1500, 1, "light"),
    "report-phone-dark": (SHOWN, 390, 1500, 1.5, "dark"),
}


def main(folder: Path) -> None:
    """Render the recorded jobs and photograph their reports into ``folder``."""
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
            picture = folder / f"{name}.png"
            page.screenshot(path=picture)
            print(f"{picture} {picture.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
